"""Which part of a run's curves is looked at, and in which units. Plain values: every change gives a new one."""

from dataclasses import dataclass, replace
from typing import Literal

XAxis = Literal["steps", "tokens", "epochs", "time"]
X_AXES: tuple[XAxis, ...] = ("steps", "tokens", "epochs", "time")

SMOOTHINGS: tuple[tuple[str, float, int], ...] = (
    ("medium", 1 / 20, 100),
    ("strong", 1 / 5, 1000),
    ("light", 1 / 100, 20),
)
"""Name, share of the steps over which the mean runs, and the most steps of it. The first is the one that all sentences use."""

FEWEST_STEPS = 10.0
"""No closer than this."""


@dataclass(frozen=True)
class PlotSettings:
    """`pinned` is a stretch of steps that stays; without it the last `share` of the steps so far is shown, as the run goes on."""

    x: XAxis = "steps"
    log_y: bool = False
    bits: bool = False
    """Bits per byte instead of nats per token."""
    smoothing: int = 0
    """Index in `SMOOTHINGS`."""
    baselines: bool = True
    share: float = 1.0
    pinned: tuple[float, float] | None = None

    def window(self, latest: float) -> tuple[float, float]:
        """First and last step in view, when `latest` is the run's last step."""
        return self.pinned if self.pinned is not None else (latest * (1 - self.share), latest)

    @property
    def follows(self) -> bool:
        return self.pinned is None

    def next_x(self) -> "PlotSettings":
        return replace(self, x=X_AXES[(X_AXES.index(self.x) + 1) % len(X_AXES)])

    def next_smoothing(self) -> "PlotSettings":
        return replace(self, smoothing=(self.smoothing + 1) % len(SMOOTHINGS))

    def zoomed(self, by: float, latest: float, about: float | None = None) -> "PlotSettings":
        """`by` below 1 looks closer. The step `about` keeps its place; without it the end of the run, or the middle of a pinned
        stretch."""
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
        """Earlier (`by` below 0) or later, by this share of what is in view; at the end it follows the run again."""
        first, last = self.window(latest)
        width = last - first
        start = max(0.0, first + by * width)
        if start + width >= latest:
            return self.following(width / latest if latest else 1.0)
        return replace(self, pinned=(start, start + width))

    def following(self, share: float) -> "PlotSettings":
        """The last share of the run, and whatever comes."""
        return replace(self, pinned=None, share=share)
