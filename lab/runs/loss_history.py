"""Loss history of a run as columns of numbers: training loss, smoothed loss, validation loss, learning rate, speed."""

import math
from collections import deque
from collections.abc import Iterable

import numpy as np

from lab.core.float_columns import Column, Floats
from lab.runs.metrics_log import SPEED_STEPS, mean_speed
from lab.runs.run_schema import Metric

SMOOTHED_SHARE = 1 / 20
LONGEST_SMOOTHING = 100
"""The smoothed line is a running mean over about the last twentieth of the steps, at most so many. A fixed length would lag far
behind the steep beginning, or be too short for the noise further on."""


class LossHistory:
    """The content of metrics.jsonl so far, kept in columns so that a million steps stay small.

    `steps`, `losses`, `smooth`, `seconds`, `lrs`, `grad_norms` and `speeds` go together, one entry a training step, NaN where
    a line has none; so do `eval_steps`, `eval_seconds` and `val_losses`.
    `smooth` is an exponential mean whose length grows with the run.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything, for another run or a file that began anew."""
        self.steps = Column()
        self.losses = Column()
        self.smooth = Column()
        self.lowest_smooth = math.inf
        self.seconds = Column()
        self.lrs = Column(np.float32)
        self.grad_norms = Column(np.float32)
        self.speeds = Column(np.float32)
        self.eval_steps = Column()
        self.eval_seconds = Column()
        self.val_losses = Column()
        self.latest: Metric | None = None
        self.last_training: Metric | None = None
        """The latest line that has a training loss, a learning rate and a speed."""
        self.last_evaluation: Metric | None = None
        self.best_evaluation: Metric | None = None
        self._latest_speeds: deque[float] = deque(maxlen=SPEED_STEPS)
        self.speed: float | None = None
        """Tokens per second of the last steps, as `mean_speed` says."""
        self._smoothed: dict[tuple[float, int], Column] = {}
        self.version = 0
        """Number of changes, by which a plot knows that it is out of date."""

    def add(self, metrics: Iterable[Metric]) -> bool:
        """Append new lines, in the order of their steps; return True if there were any."""
        lines = list(metrics)
        if not lines:
            return False
        self.latest = lines[-1]
        trained = [line for line in lines if line.loss is not None]
        evaluated = [line for line in lines if line.val_loss is not None]
        if trained:
            self._add_trained(trained)
        if evaluated:
            self._add_evaluated(evaluated)
        self.version += 1
        return True

    def _add_trained(self, lines: list[Metric]) -> None:
        self.last_training = lines[-1]
        before = len(self.steps)
        self.steps.extend([line.step for line in lines])
        self.losses.extend([line.loss for line in lines])
        self.seconds.extend([line.seconds for line in lines])
        self.lrs.extend([line.lr for line in lines])
        self.grad_norms.extend([line.grad_norm for line in lines])
        self.speeds.extend([line.tokens_per_second for line in lines])
        self._latest_speeds.extend(line.tokens_per_second for line in lines if line.tokens_per_second is not None)
        self.speed = mean_speed(self._latest_speeds)
        _smooth_on(self.smooth, self.losses, SMOOTHED_SHARE, LONGEST_SMOOTHING)
        self.lowest_smooth = min(self.lowest_smooth, float(self.smooth[before:].min()))

    def _add_evaluated(self, lines: list[Metric]) -> None:
        self.last_evaluation = lines[-1]
        self.eval_steps.extend([line.step for line in lines])
        self.eval_seconds.extend([line.seconds for line in lines])
        self.val_losses.extend([_or_nan(line.val_loss) for line in lines])
        best = min(lines, key=lambda line: _or_nan(line.val_loss))
        if self.best_evaluation is None or _or_nan(best.val_loss) < _or_nan(self.best_evaluation.val_loss):
            self.best_evaluation = best

    def smoothed(self, share: float, longest: int) -> Column:
        """The training loss smoothed over another share of the steps. Only new steps are computed."""
        if (share, longest) == (SMOOTHED_SHARE, LONGEST_SMOOTHING):
            return self.smooth
        found = self._smoothed.setdefault((share, longest), Column())
        _smooth_on(found, self.losses, share, longest)
        return found


def smooth(losses: Floats) -> Column:
    """`LossHistory.smooth` of these losses alone."""
    means = Column()
    _smooth_on(means, losses, SMOOTHED_SHARE, LONGEST_SMOOTHING)
    return means


def _smooth_on(means: Column, losses: Column | Floats, share: float, longest: int) -> None:
    """Continue the running means of `losses`: mean += (loss − mean) / length, the length being `share` of the steps so far,
    at least 1 and at most `longest`.

    While the length grows one by one; then in blocks, where mean k is r^k (mean + Σ r^-j loss_j / length), r = 1 − 1/length.
    """
    at, end = len(means), len(losses)
    mean = means[-1] if at else 0.0
    growing: list[float] = []
    new = losses[at : min(end, max(at, math.ceil(longest / share)))]
    for count, loss in enumerate(new.tolist(), at + 1):
        mean += (loss - mean) / min(max(1.0, count * share), longest)
        growing.append(mean)
    means.extend(growing)
    shrink = 1 - 1 / longest
    powers = shrink ** np.arange(1, 2 * longest + 1)
    for start in range(at + len(growing), end, 2 * longest):
        block = losses[start : min(end, start + 2 * longest)]
        r = powers[: len(block)]
        made = r * (mean + np.cumsum(block / r) / longest)
        mean = float(made[-1])
        means.extend(made)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
