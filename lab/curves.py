"""A run's losses as columns of numbers, and fewer of them for a plot without losing a spike."""

import math
from array import array
from collections.abc import Iterable, Sequence

import numpy as np

from lab.run_config import Metric

SMOOTHED_SHARE = 1 / 20
LONGEST_SMOOTHING = 100
"""The smoothed line is a running mean over about the last twentieth of the steps, at most so many. A fixed length would lag far
behind the steep beginning, or be too short for the noise further on."""

SPEED_STEPS = 10
"""Steps over which the speed is averaged: single ones jump when the machine has something else to do."""


class History:
    """What metrics.jsonl has said so far, kept in columns so that a million steps stay small.

    `steps`, `losses`, `smooth`, `seconds`, `rates`, `grad_norms` and `speeds` go together, one entry a training step, NaN where
    a line has none; so do `eval_steps`, `eval_seconds` and `val_losses`.
    `smooth` is an exponential mean whose length grows with the run.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything, for another run or a file that began anew."""
        self.steps = array("d")
        self.losses = array("d")
        self.smooth = array("d")
        self.lowest_smooth = math.inf
        self.lowest_smooth_step = 0.0
        self.seconds = array("d")
        self.rates = array("f")
        self.grad_norms = array("f")
        self.speeds = array("f")
        self.eval_steps = array("d")
        self.eval_seconds = array("d")
        self.val_losses = array("d")
        self.latest: Metric | None = None
        self.last_training: Metric | None = None
        """The latest line that has a training loss, a learning rate and a speed."""
        self.last_evaluation: Metric | None = None
        self.best_evaluation: Metric | None = None
        self.speed: float | None = None
        """Tokens a second of late, a running mean over about `SPEED_STEPS` steps."""
        self._best = math.inf
        self._mean = 0.0
        self._smoothed: dict[tuple[float, int], array[float]] = {}
        self.version = 0
        """Grows with every change, so that a plot knows when it is out of date."""

    def add(self, metrics: Iterable[Metric]) -> bool:
        """Take in new lines, in the order of the file, which is that of the steps. Says whether there were any."""
        added = False
        for metric in metrics:
            added = True
            self.latest = metric
            if metric.loss is not None:
                self.last_training = metric
                if metric.tokens_per_second is not None:
                    before = metric.tokens_per_second if self.speed is None else self.speed
                    self.speed = before + (metric.tokens_per_second - before) / SPEED_STEPS
                self.steps.append(metric.step)
                self.losses.append(metric.loss)
                self._mean += (metric.loss - self._mean) / min(max(1.0, len(self.steps) * SMOOTHED_SHARE), LONGEST_SMOOTHING)
                self.smooth.append(self._mean)
                self.seconds.append(metric.seconds)
                self.rates.append(_or_nan(metric.lr))
                self.grad_norms.append(_or_nan(metric.grad_norm))
                self.speeds.append(_or_nan(metric.tokens_per_second))
                if self._mean < self.lowest_smooth:
                    self.lowest_smooth, self.lowest_smooth_step = self._mean, metric.step
            if metric.val_loss is not None:
                self.last_evaluation = metric
                if metric.val_loss < self._best:
                    self._best, self.best_evaluation = metric.val_loss, metric
                self.eval_steps.append(metric.step)
                self.eval_seconds.append(metric.seconds)
                self.val_losses.append(metric.val_loss)
        self.version += added
        return added

    def smoothed(self, share: float, longest: int) -> "array[float]":
        """The training loss as `smooth` has it, over another share of the steps. Only what is new is computed."""
        if (share, longest) == (SMOOTHED_SHARE, LONGEST_SMOOTHING):
            return self.smooth
        found = self._smoothed.setdefault((share, longest), array("d"))
        mean = found[-1] if found else 0.0
        for at in range(len(found), len(self.losses)):
            mean += (self.losses[at] - mean) / min(max(1.0, (at + 1) * share), longest)
            found.append(mean)
        return found


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def thin(xs: Sequence[float], ys: Sequence[float], buckets: int) -> tuple[list[float], list[float]]:
    """At most two points for each of `buckets` equal stretches of x: the lowest and the highest, in their order.

    `xs` must not fall. What a plot with that many columns would show is unchanged, a spike of one step included.
    """
    if len(xs) <= 2 * buckets:
        return list(xs), list(ys)
    x, y = np.asarray(xs), np.asarray(ys)
    starts = np.searchsorted(x, np.linspace(x[0], x[-1], buckets + 1)[:-1])
    chosen: list[int] = []
    for start, end in zip(starts, [*starts[1:], len(x)], strict=True):
        if start < end:
            part = y[start:end]
            chosen += sorted({start + int(part.argmin()), start + int(part.argmax())})
    return x[chosen].tolist(), y[chosen].tolist()


def nice_ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from `low` to `high`, near `about` of them, spaced by 1, 2 or 5 times a power of ten."""
    if not high > low or about < 1:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** np.floor(np.log10(rough))
    spacing = float(min((m * power for m in (1, 2, 5, 10)), key=lambda size: abs(size - rough)))
    first = np.ceil(low / spacing - 1e-9)
    last = np.floor(high / spacing + 1e-9)
    return [float(tick * spacing) + 0.0 for tick in np.arange(first, last + 1)]
