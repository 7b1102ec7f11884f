"""A run as it trains: how far it is, its curves, its numbers, what they mean, and what it writes."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal

from rich.segment import Segment
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.reactive import reactive, var
from textual.strip import Strip
from textual.widget import Widget

from lab.core.number_format import count, duration, fixed, perplexity, significant, whole
from lab.core.uniform_baseline import uniform_baseline
from lab.core.visible_text import visible
from lab.reports.baselines import TextEntropy, floors
from lab.reports.diagnosis.diagnose import diagnose
from lab.reports.machine_usage import UsageMeter
from lab.reports.run_sentence import run_sentence
from lab.runs.insights_log import InsightHistory
from lab.runs.loss_history import LossHistory
from lab.runs.run_folder import ACTIVE, is_on_other_host
from lab.runs.run_progress import fraction_done, planned_length, time_left
from lab.runs.run_schema import Event, RunConfig, Sample, Status
from lab.runs.run_summary import PHASES, owner_in_words
from screens.plot.line_plot import LinePlot
from screens.plot.plot_settings import PlotSettings
from screens.train.insights_view import PAGES, InsideView
from screens.train.run_plots import RunPlots
from screens.train.samples_view import SamplesView
from screens.train.summary_text import SummaryText, whole_sentences
from screens.train.usage_plots import usage_plots
from screens.widgets.fact_list import Fact, FactList

MOST_LINES_OF_WORDS = 5
"""As many lines of sentences about the run leave room for what it writes, in 24 lines."""

SECONDS_BETWEEN_DRAWINGS = 1.0
"""How often the plots are drawn at most while the run goes on, which is half of all that watching takes from the training."""
DOTS_A_COLUMN = 2
"""Of braille, side by side in a cell."""

RunPage = Literal["words", "curves", "machine", "heads", "probe", "updates"]
PANELS = ("rate", "norm", "speed", "more")
"""The small plots, of which a page may need fewer."""


@dataclass
class Watched:
    """All that is known of the run in view."""

    name: str
    config: RunConfig
    status: Status
    phase: str
    history: LossHistory
    samples: tuple[Sample, ...] = ()
    inside: InsightHistory = field(default_factory=InsightHistory)
    events: tuple[Event, ...] = ()
    usage: UsageMeter | None = None
    unresponsive: str = ""
    """Why its trainer says nothing, where it should; empty if that is not known."""


class RunHeader(Widget):
    """One line: name, phase, a bar, and the time left."""

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
    watched: reactive[Watched | None] = reactive(None, always_update=True)

    def watch_watched(self, watched: Watched | None) -> None:
        phase = watched.phase if watched else ""
        self.set_class(phase in ("stopped", "finished"), "-ended")
        self.set_class(phase in ("failed", "interrupted", "not answering"), "-failed")

    def render_line(self, y: int) -> Strip:
        if self.watched is None:
            return Strip.blank(self.size.width, self.rich_style)
        width = self.size.width
        config, status, phase = self.watched.config, self.watched.status, self.watched.phase
        sign, word = PHASES[phase]
        done = fraction_done(config, status)
        left = time_left(config, status, self.watched.history) if phase == "training" else None
        rest = f"{done:.0%} of {planned_length(config)}" + (f", {duration(left)} left" if left is not None else "")
        name = visible(self.watched.name)
        name = name if len(name) <= width // 3 else name[: width // 3 - 1] + "…"
        room = width - len(name) - len(word) - len(rest) - 8
        filled = round(max(0, room) * done)
        pieces = [
            (f"{name}  ", "name"),
            (f"{sign} {word}  ", "phase"),
            ("━" * filled, "bar"),
            ("╌" * (room - filled) + "  " + rest, "rest"),
        ]
        return Strip(
            [Segment(text, self.get_component_rich_style(f"run-header--{role}")) for text, role in pieces]
        ).adjust_cell_length(width, self.rich_style)


class RunView(Widget):
    """Everything about one run on one screen. `show` is called when something is new."""

    plot_view: var[PlotSettings] = var(PlotSettings())
    cursor: var[int | None] = var(None)
    """Index of the training step that is read out; None: the newest numbers are shown."""
    page: var[RunPage] = var("words")
    """What stands below the curve, or instead of it."""
    moment: var[float | None] = var(None)
    """Step of the evaluation whose samples, meters and probe are looked at; None follows the newest."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.watched: Watched | None = None
        self.entropy: TextEntropy | None = None
        self._drawn: tuple[object, float] = (None, 0.0)
        """What the plots were last drawn of, and its newest step."""
        self._drawn_at = 0.0

    def compose(self) -> ComposeResult:
        yield RunHeader(id="run-header")
        with Horizontal(id="run-middle"):
            yield LinePlot(id="run-plot")
            yield FactList(id="run-facts")
        with Vertical(id="run-words"):
            yield SummaryText(id="run-reading", markup=False)
            yield SamplesView(id="run-samples")
            yield SummaryText(id="run-computed", markup=False)
            with Horizontal(id="run-panels"):
                for name in PANELS:
                    yield LinePlot(id=f"run-{name}")
        yield InsideView(id="run-inside")

    @property
    def samples(self) -> SamplesView:
        """The part that shows what the run writes."""
        return self.query_one(SamplesView)

    @property
    def inside(self) -> InsideView:
        """The pages about the inside of the model."""
        return self.query_one(InsideView)

    def show(self, watched: Watched) -> None:
        """Show this run as it is now."""
        if self.watched is None or self.watched.history is not watched.history:
            self.cursor = None
        if self.watched is None or self.watched.name != watched.name:
            self.plot_view = self.plot_view.following(1.0)
            self.entropy = None
            self.moment = None
        self.watched = watched
        self.query_one(RunHeader).watched = watched
        self.query_one("#run-reading", SummaryText).say(self._words(watched))
        self.query_one("#run-computed", SummaryText).say(
            watched.status.computed and f"Each step is computed in {watched.status.computed}."
        )
        self.samples.samples = watched.samples
        self.inside.show(watched.inside, watched.phase in ACTIVE, watched.status.seconds, watched.config.train.optimizer)
        if self._has_grown():
            self._draw()
        else:
            self._point()

    def _has_grown(self) -> bool:
        """Whether the plots would look different now: their newest step is a dot of braille further on, or something happened."""
        curves = self._curves()
        if curves is None or self.page == "machine" or self._drawn[0] != self._occasion():
            return True
        if time.monotonic() - self._drawn_at < SECONDS_BETWEEN_DRAWINGS:
            return False
        return curves.latest - self._drawn[1] >= self._steps_a_column(curves) / DOTS_A_COLUMN

    def _steps_a_column(self, curves: RunPlots) -> float:
        return (curves.last - curves.first) / self.query_one("#run-plot", LinePlot).columns

    def _occasion(self) -> object:
        """What has to be drawn at once when it changes."""
        watched = self.watched
        return watched and (
            watched.name,
            id(watched.history),
            len(watched.history.eval_steps),
            len(watched.events),
            watched.phase,
        )

    def show_trouble(self, sentence: str) -> None:
        """Show why there is nothing to see."""
        self.query_one("#run-reading", SummaryText).say(sentence)

    def show_entropy(self, entropy: TextEntropy | None) -> None:
        """Draw the entropies of the run's own text, once they are known, and judge the run by them."""
        self.entropy = entropy
        if self.watched is not None:
            self.query_one("#run-reading", SummaryText).say(self._words(self.watched))
        self._draw()

    def watch_plot_view(self) -> None:
        self._draw()

    def watch_cursor(self, cursor: int | None) -> None:
        self.samples.has_arrows = cursor is None
        self._point()

    def watch_page(self, page: RunPage) -> None:
        self.set_class(page in ("curves", "machine"), "-panels")
        self.set_class(page == "machine", "-machine")
        inside = page in PAGES
        self.query_one("#run-middle").display = self.query_one("#run-words").display = not inside
        self.inside.display = inside
        if page in PAGES:
            self.inside.page = page
            self.call_after_refresh(self.inside.draw)
        self._draw()

    def watch_moment(self, moment: float | None) -> None:
        self.samples.look_at(moment)
        self.inside.moment = moment

    def walk(self, by: int) -> None:
        """To an earlier or a later evaluation, for all that is shown of one."""
        steps = [moment.step for moment in self.inside.inside.points] if self.page in PAGES else self.samples.steps
        if steps:
            at = len(steps) - 1 if self.moment is None else max(0, bisect_right(steps, self.moment) - 1)
            at = max(0, min(at + by, len(steps) - 1))
            self.moment = None if at == len(steps) - 1 else steps[at]

    def _curves(self) -> RunPlots | None:
        watched = self.watched
        return RunPlots(watched.name, watched.config, watched.history, self.plot_view, watched.events) if watched else None

    def _draw(self) -> None:
        curves = self._curves()
        if curves is None:
            return
        self._drawn, self._drawn_at = (self._occasion(), curves.latest), time.monotonic()
        known = floors(curves.config.model.vocab_size, curves.config.data, curves.history, self.entropy)
        self.query_one("#run-plot", LinePlot).figure = curves.losses(known)
        if self.page in ("curves", "machine"):
            usage = self.watched.usage if self.watched else None
            figures = curves.panels() if self.page == "curves" else usage_plots(usage)
            for name, figure in zip_longest(PANELS, figures):
                plot = self.query_one(f"#run-{name}", LinePlot)
                plot.display = figure is not None
                plot.figure = figure
        self._point()

    def _point(self) -> None:
        """The numbers beside the plot, and the stroke at the step that they are of."""
        curves = self._curves()
        if curves is None or self.watched is None:
            return
        at = self.cursor
        shown = at is not None and at < len(curves.history.steps)
        self.query_one("#run-facts", FactList).facts = (
            curves.numbers_at(at, self._steps_a_column(curves) / 2) if at is not None and shown else numbers_of(self.watched)
        )
        x = curves.x_at(at) if at is not None and shown else None
        for name in ("plot", *PANELS):
            self.query_one(f"#run-{name}", LinePlot).cursor = x if name == "plot" or self.page == "curves" else None

    def toggle_cursor(self) -> None:
        """Put the cursor on the last step in view, or take it off."""
        curves = self._curves()
        if self.cursor is not None or curves is None or not len(curves.history.steps):
            self.cursor = None
        else:
            self.cursor = max(0, bisect_right(curves.history.steps, curves.last) - 1)

    def move_cursor(self, by: int) -> None:
        """So many columns of the plot to the right, at least a step, and the stretch in view goes along."""
        curves = self._curves()
        if self.cursor is None or curves is None:
            return
        steps = curves.history.steps
        at = min(self.cursor, len(steps) - 1)
        target = steps[at] + by * self._steps_a_column(curves)
        found = bisect_right(steps, target) - 1
        found = max(found, at + 1) if by > 0 else min(found, at - 1)
        self.cursor = found = max(0, min(found, len(steps) - 1))
        if not curves.first <= steps[found] <= curves.last:
            self.plot_view = self.plot_view.panned(math.copysign(0.5, by), curves.latest)

    def zoom(self, by: float) -> None:
        """Closer (`by` below 1) or wider, about the cursor if there is one."""
        curves = self._curves()
        if curves is not None:
            about = curves.history.steps[self.cursor] if self.cursor is not None else None
            self.plot_view = self.plot_view.zoomed(by, curves.latest, about)

    def pan(self, by: float) -> None:
        """To earlier or later steps, by this share of what is in view."""
        curves = self._curves()
        if curves is not None:
            self.plot_view = self.plot_view.panned(by, curves.latest)

    def _words(self, watched: Watched) -> str:
        found = diagnose(
            watched.config,
            watched.status,
            watched.history,
            phase=watched.phase,
            entropy=self.entropy,
            events=watched.events,
        )
        copied = found.verdict == "validation text copied"
        parts = [run_sentence(watched.config, watched.status, watched.history, copied=copied)]
        if found.verdict != "waiting" and watched.phase != "failed":
            parts.insert(0, found.sentences)
        message = watched.status.message
        said_again = message.startswith("Since step") and "rollback" in found.advice
        if message and watched.phase in (*ACTIVE, "stopped", "finished") and not said_again:
            parts.insert(0, message)
        if is_on_other_host(watched.status) and watched.phase in ACTIVE:
            parts.insert(0, f"It is trained by {owner_in_words(watched.status)}, another machine; it obeys from here too.")
        if watched.unresponsive:
            parts.insert(0, watched.unresponsive)
        if watched.phase == "interrupted":
            parts.insert(0, "The trainer is gone without a word, killed or with its machine; r goes on from the last checkpoint.")
        if watched.phase == "stopped" and watched.history.latest is not None:
            parts.insert(0, "It was stopped; r goes on from there.")
        return whole_sentences(" ".join(parts), self.content_size.width - 4, MOST_LINES_OF_WORDS)


def numbers_of(watched: Watched) -> tuple[Fact, ...]:
    """The panel beside the plot."""
    config, status, history = watched.config, watched.status, watched.history
    last, evaluation, best = history.last_training, history.last_evaluation, history.best_evaluation
    steps = status.steps or config.train.steps
    step = max(status.step, history.latest.step if history.latest else 0)
    left = time_left(config, status, history)
    facts: list[Fact] = [
        ("step", whole(step) + (f" / {whole(steps)}" if steps else "")),
        ("epoch", fixed(history.latest.epoch, 2) if history.latest else "·"),
        ("tokens/s", count(history.speed) if history.speed else "·"),
        ("time left", duration(left) if left is not None and watched.phase == "training" else "·"),
        ("rate", significant(last.lr, 3) if last and last.lr is not None else "·"),
        ("train", fixed(history.smooth[-1], 3) if history.smooth else "·"),
        ("val", fixed(evaluation.val_loss, 3) if evaluation and evaluation.val_loss is not None else "·"),
        ("best val", f"{fixed(best.val_loss, 3)} @ {count(best.step)}" if best and best.val_loss is not None else "·"),
        ("bits/byte", fixed(evaluation.bits_per_byte, 3) if evaluation and evaluation.bits_per_byte is not None else "·"),
        ("by chance", f"{fixed(uniform_baseline(config.model.vocab_size), 3)}"),
        ("one of", f"{perplexity(history.smooth[-1])} tokens" if history.smooth else "·"),
    ]
    return tuple(facts)
