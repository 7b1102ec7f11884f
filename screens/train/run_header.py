"""Words around the plot of a run: name, phase, progress and time left; its verdict and status; its numbers."""

from __future__ import annotations

import math
import re
from bisect import bisect_right

from rich.cells import cell_len
from rich.text import Text
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from lab.analysis.baselines import NATS, LossUnit, TextEntropy
from lab.analysis.diagnose import diagnosis_of
from lab.analysis.diagnosed_run import DiagnosedRun
from lab.analysis.run_sentence import SIGNS, VerdictLine, reasons, verdict_line
from lab.core.number_format import bytes_, count, duration, fixed, perplexity, significant, whole
from lab.core.visible_text import visible
from lab.planning.default_hyperparameters import describe_lowered_lr
from lab.runs.run_folder import ACTIVE, NOT_STARTED
from lab.runs.run_in_words import EvaluatedShare, at_the_end, during_training
from lab.runs.run_schema import FinalEvaluation, Metric, Status
from lab.runs.run_summary import fraction_done, origin_in_short, planned_length, planned_steps, shown_phase, time_left
from lab.runs.schema_parts import describe_gpu, describe_ranks
from models.config import uniform_baseline
from screens.plot.figure import EVENT_SIGNS
from screens.train.run_notices import notices
from screens.train.run_plots import RunPlots, WatchedRun
from screens.widgets.piece_lines import Fact
from screens.widgets.text_fitting import fit, painted_line


def status_text(watched: WatchedRun, entropy: TextEntropy | None, unit: LossUnit = NATS) -> tuple[VerdictLine, str, str]:
    """The verdict on a run as it is now, what needs attention, if anything, and the sentences behind the verdict."""
    run = DiagnosedRun(watched.config, watched.status, watched.history, watched.phase, entropy, watched.events, unit)
    found = diagnosis_of(run)
    message = watched.status.message
    if run.rollbacks and found.verdict == "diverged":  # its advice tells of the learning rate that is left
        message = message.replace(describe_lowered_lr(watched.config, run.lr_factor, run.rollbacks[-1]), "").strip()
    words = " ".join(notices(watched, message))
    sentences = "" if watched.phase == "failed" else reasons(run, found)
    return verdict_line(run, found), without_options(words), sentences


def without_options(sentence: str) -> str:
    """The sentence with options of the command line as the form names them: `--device cpu` is `device cpu`, (--lr) is (lr)."""
    return re.sub(r"(?<![\w-])--(?=[a-z])", "", sentence)


def computed_sentence(status: Status) -> str:
    """A sentence on what computes the steps, and how, and one on a GPU's use; empty while that is not known."""
    if not status.computed:
        return ""
    where = f", by {words}" if (words := describe_ranks(status.ranks)) else ""
    use = f" {describe_gpu(status.gpu)}." if status.gpu is not None else ""
    return f"Steps run in {status.computed}{where}.{use}"


WHY, CLOSE = "why", "close"


class VerdictBar(Widget):
    """The verdict, its beginning in the colour of its tone, and the key to the reasons."""

    COMPONENT_CLASSES = {"verdict--good", "verdict--wait", "verdict--warn", "verdict--bad", "verdict--hint"}
    DEFAULT_CSS = """
    VerdictBar {
        height: auto; min-height: 1;
        & > .verdict--good { color: $text-success; text-style: bold; }
        & > .verdict--wait { color: $text-muted; text-style: bold; }
        & > .verdict--warn { color: $text-warning; text-style: bold; }
        & > .verdict--bad { color: $text-error; text-style: bold; }
        & > .verdict--hint { color: $text-muted; }
    }
    """
    verdict: reactive[VerdictLine | None] = reactive(None, layout=True)
    hint: reactive[str] = reactive(WHY, layout=True)

    def render(self) -> Text:
        if self.verdict is None:
            return Text()
        tone, (first, colon, rest) = self.verdict.tone, self.verdict.sentence.partition(":")
        hint = f"{'enter' if getattr(self.app, 'draws_ascii', False) else '⏎'}\N{NO-BREAK SPACE}{self.hint}"
        style = self.get_component_rich_style
        state = f"{SIGNS[tone]} {first}{colon}"
        return Text.assemble((state, style(f"verdict--{tone}")), rest, (f"  {hint}", style("verdict--hint")))


class SummaryText(Static):
    """Plain text that changes often; the screen is laid out again only if the number of lines changes."""

    def say(self, text: str) -> None:
        """Show a text."""
        if text == self.content:
            return
        self.update(text, layout=not self.content)
        width, height = self.content_size
        if width and self.get_content_height(self.content_size, self.app.size, width) != height:
            self.refresh(layout=True)


class RunHeader(Widget):
    """One line; the bar takes the room that the words leave. A run that cannot be read any more has the reason instead."""

    COMPONENT_CLASSES = {"run-header--name", "run-header--phase", "run-header--bar", "run-header--rest"}
    DEFAULT_CSS = """
    RunHeader {
        height: 1;
        & > .run-header--name { text-style: bold; }
        & > .run-header--phase { color: $text-success; text-style: bold; }
        & > .run-header--bar { color: $primary; }
        & > .run-header--rest { color: $text-muted; }
        &.-ended > .run-header--phase { color: $text; }
        &.-failed > .run-header--phase { color: $text-error; }
    }
    """
    watched: reactive[WatchedRun | None] = reactive(None, always_update=True)
    problem: reactive[str] = reactive("")
    """The reason why the run cannot be read any more, such as that it was deleted."""

    def _mark(self) -> None:
        phase = self.watched.phase if self.watched else ""
        self.set_class(not self.problem and phase in ("stopped", "finished"), "-ended")
        self.set_class(bool(self.problem) or phase in ("failed", "interrupted", "not answering"), "-failed")

    watch_watched = watch_problem = _mark

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if self.problem:
            return painted_line(self, "run-header", [(fit(visible(self.problem), width), "phase")])
        if self.watched is None:
            return painted_line(self, "run-header", [])
        config, status, phase = self.watched.config, self.watched.status, self.watched.phase
        shown = "not started" if status.message == NOT_STARTED else phase
        sign, word = shown_phase(shown, is_imported=config.imported is not None)
        done = fraction_done(config, status)
        left = time_left(config, status, self.watched.history) if phase == "training" else None
        rest = f"{done:.0%} of {planned_length(config)}" + (f", {duration(left)} left" if left is not None else "")
        origin = origin_in_short(config)
        if config.imported is not None:
            done, rest, origin = 0.0, f"{origin}: trained elsewhere", ""
        name = visible(self.watched.name)
        name = name if len(name) <= width // 3 else name[: width // 3 - 1] + "…"
        where = describe_ranks(status.ranks) if phase in ACTIVE else ""
        for more, most in ((origin, width // 2), (where, width // 3)):
            longer = f"{more} · {rest}"
            if more and cell_len(more) < most and len(name) + cell_len(word) + cell_len(longer) + 8 <= width:
                rest = longer
        room = width - len(name) - cell_len(word) - cell_len(rest) - 8
        empty = " " if config.imported is not None else "╌"
        filled = round(max(0, room) * done)
        pieces = [
            (f"{name}  ", "name"),
            (f"{sign} {word}  ", "phase"),
            ("━" * filled, "bar"),
            (empty * (room - filled) + "  " + rest, "rest"),
        ]
        return painted_line(self, "run-header", pieces)


UNKNOWN = "·"


def newest_numbers(plots: RunPlots) -> tuple[Fact, ...]:
    """Progress of the run, and its latest losses in the unit of its plots."""
    watched, history = plots.watched, plots.history
    config, status = watched.config, watched.status
    last = history.last_training
    steps = planned_steps(config, status)
    step = max(status.step, history.latest.step if history.latest else 0)
    mean = plots.smooth[-1] if history.smooth else None
    facts: list[Fact] = [
        ("step", whole(step) + (f" / {whole(steps)}" if steps else "")),
        ("epoch", fixed(history.latest.epoch, 2) if history.latest else UNKNOWN),
        ("tokens/s", count(history.speed) if history.speed else UNKNOWN),
        ("lr", significant(last.lr, 3) if last and last.lr is not None else UNKNOWN),
        ("train loss", f"{plots.loss_unit.train(mean, 3)} ({plots.mean_name})" if mean is not None else UNKNOWN),
        *_validation(watched, step, bits=plots.settings.bits),
        ("uniform", plots.loss_unit(uniform_baseline(config.model.vocab_size), 3)),
        ("perplexity", _perplexity(watched)),
        ("layers", f"{config.model.layers} × width {config.model.width}"),
    ]
    if config.tuning is not None or config.imported is not None:
        return tuple(fact for fact in facts if fact[1] != UNKNOWN)  # none of them will ever be known
    if (gpu := status.gpu) is not None:
        shares = (("MFU", gpu.mfu), ("GPU busy", gpu.busy))  # the second where the first is not known
        known = [(name, f"{share:.0%}") for name, share in shares if share is not None]
        facts += [("GPU memory", bytes_(gpu.memory)), *known[:1]]
    return tuple(facts)


def _perplexity(watched: WatchedRun) -> str:
    """The perplexity that the verdict names: of the validation loss or, before the first evaluation, of the training loss."""
    run = DiagnosedRun(watched.config, watched.status, watched.history, watched.phase, None, watched.events)
    if run.measured is not None:
        return f"{perplexity(run.measured.loss)} (val)"
    return f"{perplexity(run.loss)} (train)" if len(run.steps) else UNKNOWN


def _validation(watched: WatchedRun, step: int, *, bits: bool) -> list[Fact]:
    """Latest and best validation loss, the latest with its step if the run has come further, and their share of the text."""
    status, history = watched.status, watched.history
    latest: Metric | FinalEvaluation | None = status.final
    best: Metric | FinalEvaluation | None = status.final_best
    if status.final is not None:
        share: EvaluatedShare | None = at_the_end(watched.config.data, status.final)
    else:
        share = during_training(watched.config.data, status)
        latest, best = history.last_evaluation, history.best_evaluation
    made_at = f" @ {count(latest.step)}" if latest and latest.step < step else ""
    loss, lowest = (None if each is None else each.bits_per_byte if bits else each.val_loss for each in (latest, best))
    other = latest.bits_per_byte if latest is not None else None
    return [
        ("val loss", f"{fixed(loss, 3)}{made_at}" if loss is not None else UNKNOWN),
        ("best val loss", f"{fixed(lowest, 3)} @ {count(best.step)}" if best is not None and lowest is not None else UNKNOWN),
        ("val text used", share.percent if share is not None else UNKNOWN),
        ("unit", "bits/byte") if bits else ("bits/byte", f"{fixed(other, 3)} (val)" if other is not None else UNKNOWN),
    ]


def numbers_at(plots: RunPlots, at: int, reach: float) -> tuple[Fact, ...]:
    """Every series at this training step, validation at the last evaluation up to it, and events within `reach` steps."""
    history = plots.history
    step = history.steps[at]
    latest = history.latest
    done = step / latest.step if latest and latest.step else 0.0
    evaluated = bisect_right(history.eval_steps, step) - 1
    val = UNKNOWN
    if evaluated >= 0:
        val = plots.loss_unit(history.val_losses[evaluated], 3)
        if history.eval_steps[evaluated] != step:
            val += f" @ {count(history.eval_steps[evaluated])}"
    kinds = {kind for when, _, kind in plots.happened() if abs(when - step) <= reach}
    signs = [signs for kind, signs in EVENT_SIGNS.items() if kind in kinds]
    here = " ".join(signs[0]) if len(signs) == 1 else " ".join(sign for sign, _ in signs)  # the legend has their words
    return (
        ("at step", whole(int(step))),
        ("tokens", count(done * latest.tokens if latest else 0.0)),
        ("epoch", fixed(done * latest.epoch if latest else 0.0, 2)),
        ("time", duration(history.seconds[at])),
        ("step loss", plots.loss_unit.train(history.losses[at], 3)),
        ("train loss", f"{plots.loss_unit.train(plots.smooth[at], 3)} ({plots.mean_name})"),
        ("val loss", val),
        ("unit", "bits/byte" if plots.settings.bits else "nats/token"),
        ("lr", _number(history.lrs[at], 3)),
        ("grad norm", _number(history.grad_norms[at], 3)),
        ("tokens/s", UNKNOWN if math.isnan(history.speeds[at]) else count(history.speeds[at])),
        ("events", here or UNKNOWN),
    )


def _number(value: float, digits: int) -> str:
    return UNKNOWN if math.isnan(value) else significant(value, digits)
