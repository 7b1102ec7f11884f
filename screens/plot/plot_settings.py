"""Plot settings: window, x axis, unit, scale, smoothing, baselines; immutable. The scale that shows most of a curve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lab.runs.run_history import Floats

XAxis = Literal["steps", "tokens", "epochs", "time"]
X_AXES: tuple[XAxis, ...] = ("steps", "tokens", "epochs", "time")

SMOOTHINGS: tuple[tuple[str, float, int], ...] = (
    ("medium", 1 / 20, 100),
    ("strong", 1 / 5, 1000),
    ("light", 1 / 100, 20),
)
"""Name, fraction of the steps in the running mean, and its most steps. All sentences use the first."""

FEWEST_STEPS = 10.0
"""The closest zoom."""


@dataclass(frozen=True)
class PlotSettings:
    """`pinned` is a fixed window of steps; without it the window is the last `share` of the steps so far."""

    x: XAxis = "steps"
    log_y: bool | None = None
    """None: the scale that shows more."""
    bits: bool = False
    """Bits per byte instead of nats per token."""
    smoothing: int = 0
    """Index in `SMOOTHINGS`."""
    baselines: bool = True
    share: float = 1.0
    pinned: tuple[float, float] | None = None
    y_window: tuple[float, float] | None = None
    """Range of y, in the unit shown; None shows all of the curves in view."""
    y_close: bool = False
    """Without `y_window`: only the range of the lines after their steep part."""

    def window(self, latest: float) -> tuple[float, float]:
        """First and last step in view, when `latest` is the run's last step."""
        return self.pinned if self.pinned is not None else (latest * (1 - self.share), latest)

    @property
    def follows(self) -> bool:
        return self.pinned is None

    @property
    def y_zoomed(self) -> bool:
        return self.y_window is not None or self.y_close

    def next_scale(self, shown: bool, auto: bool) -> "PlotSettings":
        """The other scale of y than the one `shown`; without a fixed one where that is the automatic choice."""
        return replace(self, log_y=None if auto is not shown else not shown)

    def next_y(self) -> "PlotSettings":
        """A close-up of the lines, or all of the curves again."""
        return replace(self, y_window=None, y_close=not self.y_zoomed)

    def zoomed_y(self, by: float, shown: tuple[float, float], about: float, *, log_y: bool) -> "PlotSettings":
        """Zoom in on y (`by` below 1) or out; the value `about` keeps its place in the range `shown`."""
        # What is shown may be more than was asked for, as ticks are round.
        low, high, centre = (math.log(max(y, 1e-12)) if log_y else y for y in (*(self.y_window or shown), about))
        low, high = centre - by * (centre - low), centre + by * (high - centre)
        if log_y:
            low, high = math.exp(low), math.exp(high)
        return replace(self, y_window=(low, high), y_close=False)

    def in_other_unit(self) -> "PlotSettings":
        """Bits per byte instead of nats per token, or back; a range of y would be one of the other unit."""
        return replace(self, bits=not self.bits, y_window=None)

    def next_x(self) -> "PlotSettings":
        return replace(self, x=X_AXES[(X_AXES.index(self.x) + 1) % len(X_AXES)])

    def next_smoothing(self) -> "PlotSettings":
        return replace(self, smoothing=(self.smoothing + 1) % len(SMOOTHINGS))

    def zoomed(self, by: float, latest: float, about: float | None = None) -> "PlotSettings":
        """Zoom in (`by` below 1) or out. The step `about` keeps its place; by default the end of the run, or the middle of a
        pinned window."""
        first, last = self.window(latest)
        width = max((last - first) * by, min(FEWEST_STEPS, latest))
        if width >= latest:
            return self.following(1.0)
        if about is None and self.follows:
            return self.following(width / latest)
        centre = (first + last) / 2 if about is None else about
        place = (centre - first) / (last - first) if last > first else 0.5
        start = min(max(0.0, centre - place * width), latest - width)
        return replace(self, pinned=(start, start + width))

    def panned(self, by: float, latest: float) -> "PlotSettings":
        """Pan by this fraction of the window; at the end it follows the run again."""
        first, last = self.window(latest)
        width = last - first
        start = max(0.0, first + by * width)
        if start + width >= latest:
            return self.following(width / latest if latest else 1.0)
        return replace(self, pinned=(start, start + width))

    def following(self, share: float) -> "PlotSettings":
        """Follow the last `share` of the run."""
        return replace(self, pinned=None, share=share)

    def whole(self) -> "PlotSettings":
        """All of both axes."""
        return replace(self, pinned=None, share=1.0, y_window=None, y_close=False)


STEEP_PART = 1 / 4
"""First part of a curve, in which a loss falls steeply; the rest is what one looks at."""
MUCH_MORE = 1.5
"""A logarithmic axis is harder to read: it has to give the rest so many times the height."""


Curve = tuple[Sequence[float] | Floats, Sequence[float] | Floats]
"""Its xs, which do not fall, and its ys."""


def shows_more_on_log(curves: Sequence[Curve]) -> bool:
    """Check that a logarithmic axis would give the curves after their steep part much more of the height than a linear one."""
    whole, rest = _whole_and_rest(curves)
    if not len(rest) or whole.min() <= 0 or rest.max() <= rest.min():
        return False
    linear = (rest.max() - rest.min()) / (whole.max() - whole.min())
    logarithmic = np.log(rest.max() / rest.min()) / np.log(whole.max() / whole.min())
    return bool(logarithmic >= MUCH_MORE * linear)


def range_after_steep_part(curves: Sequence[Curve]) -> tuple[float, float] | None:
    """Lowest and highest y of the curves after their steep part."""
    _, rest = _whole_and_rest(curves)
    return (float(rest.min()), float(rest.max())) if len(rest) else None


def scale_words(settings: PlotSettings, log_y: bool) -> str:
    """The scale of y for the legend."""
    return f"{'log' if log_y else 'linear'} y{', zoomed' if settings.y_zoomed else ''}"


def _whole_and_rest(curves: Sequence[Curve]) -> tuple[Floats, Floats]:
    """All ys of the curves, and those after the steep part."""
    found = [(np.asarray(xs, np.float64), np.asarray(ys, np.float64)) for xs, ys in curves if len(xs)]
    if not found:
        return np.empty(0), np.empty(0)
    first, last = min(xs[0] for xs, _ in found), max(xs[-1] for xs, _ in found)
    begins = first + STEEP_PART * (last - first)
    return np.concatenate([ys for _, ys in found]), np.concatenate([ys[xs >= begins] for xs, ys in found])
