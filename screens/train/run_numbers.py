"""The numbers beside the loss plot: the newest, or those at the cursor's step."""

from __future__ import annotations

import math
from bisect import bisect_right

from lab.analysis.diagnosed_run import DiagnosedRun
from lab.core.number_format import bytes_, count, duration, fixed, perplexity, significant, whole
from lab.runs.run_in_words import EvaluatedShare, at_the_end, during_training
from lab.runs.run_schema import FinalEvaluation, Metric
from lab.runs.run_summary import planned_steps
from models.config import uniform_baseline
from screens.plot.figure import EVENT_SIGNS
from screens.train.run_plots import RunPlots, WatchedRun
from screens.widgets.fact_list import Fact

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
