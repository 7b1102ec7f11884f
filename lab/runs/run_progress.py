"""Progress of a run: the share that is done, the time left, and its planned length."""

from typing import TYPE_CHECKING

from lab.core.number_format import duration, whole
from lab.runs.run_schema import RunConfig, Status

if TYPE_CHECKING:
    from lab.runs.loss_history import LossHistory

RECENT_STEPS = 20
"""Fewest steps by whose time that of the others is estimated; before, their own speed says it."""


def time_left(config: RunConfig, status: Status, history: "LossHistory") -> float | None:
    """Seconds of training left, evaluations included, from the time of the latest steps; None where it is not known."""
    if config.train.minutes is not None:
        return max(0.0, config.train.minutes * 60 - status.seconds)
    last = history.last_training
    steps = status.steps or config.train.steps
    if last is None or steps is None or not history.speed:
        return None
    left = max(0, steps - last.step)
    seen = slice(-1 - max(RECENT_STEPS, config.train.eval_every), None)  # as many evaluations as are to come
    taken, seconds = (float(column[seen][-1] - column[seen][0]) for column in (history.steps, history.seconds))
    if taken >= RECENT_STEPS and seconds > 0:
        return left * seconds / taken
    return left * config.train.batch * config.model.context / history.speed


def planned_steps(config: RunConfig, status: Status) -> int | None:
    """The step at which the run ends, where that is known; 0 for an imported one, which takes none."""
    return 0 if config.imported is not None else status.steps or config.train.steps


def fraction_done(config: RunConfig, status: Status) -> float:
    """Share of the run that is done, 0 to 1."""
    if status.phase == "finished":
        return 1.0
    if config.train.minutes is not None:
        return min(1.0, status.seconds / (config.train.minutes * 60))
    steps = status.steps or config.train.steps
    return min(1.0, status.step / steps) if steps else 0.0


def planned_length(config: RunConfig) -> str:
    """Planned length of the run: `2,000 steps` or `5 min 00 s`."""
    if config.train.minutes is not None:
        return duration(config.train.minutes * 60)
    return f"{whole(config.train.steps or 0)} steps"
