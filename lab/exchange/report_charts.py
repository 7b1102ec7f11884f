"""Charts of a report: axes, points and SVG paths of a run's curves, with no more points than a reader can tell apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab.core.number_format import count

WIDTH, HEIGHT = 860, 300
"""Size of a chart in its own units, the labels' place included."""
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 14, 34
"""Space around the plot for the labels."""

WIDE_RANGE = 5
"""Ratio of the largest to the smallest number from which on a logarithmic axis shows more of a curve."""

MOST_BUCKETS = 300
"""Buckets of steps that a long line is thinned to; the lowest and the highest number of each are kept."""

Numbers = NDArray[np.floating]
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A line of a chart. `points` are numbers of the run, never averages of several."""

    name: str
    kind: str
    """CSS class: `faint`, `training`, `validation` or `rate`."""
    points: list[Point]
    path: str
    marks: list[Point]
    """Places of the points on the picture, for a line whose points are marked."""


@dataclass(frozen=True)
class Level:
    """A horizontal line with a name, such as the uniform baseline."""

    name: str
    value: float
    y: float

    @property
    def is_low(self) -> bool:
        """True near the lower edge, where a falling curve leaves room for the name on the left."""
        return self.y > HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) / 4


@dataclass(frozen=True)
class Chart:
    """A chart as its template needs it; `x` are the first and the last step."""

    title: str
    unit: str
    x: Point
    lines: list[Line]
    levels: list[Level]
    x_ticks: list[tuple[str, float]]
    """Text and place of each."""
    y_ticks: list[tuple[str, float]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    top: int = TOP
    bottom: int = BOTTOM


def thinned(xs: Numbers, ys: Numbers, buckets: int = MOST_BUCKETS) -> list[Point]:
    """The finite points, of a long line the lowest and the highest of each of so many buckets, in order of x."""
    finite = np.isfinite(xs) & np.isfinite(ys)
    xs, ys = xs[finite], ys[finite]
    if len(xs) > 2 * buckets:
        chosen = set()
        edges = np.linspace(0, len(xs), buckets + 1).astype(int)
        for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            chosen |= {start + int(ys[start:end].argmin()), start + int(ys[start:end].argmax())}
        kept = np.array(sorted(chosen | {0, len(xs) - 1}))
        xs, ys = xs[kept], ys[kept]
    return list(zip(xs.tolist(), ys.tolist(), strict=True))


def chart(
    title: str,
    unit: str,
    lines: Sequence[tuple[str, str, Numbers, Numbers]],
    levels: Sequence[tuple[str, float]] = (),
    *,
    from_zero: bool = False,
) -> Chart | None:
    """A chart of (name, kind, x, y) lines and (name, y) levels; None where there is no finite number to draw."""
    series = [(name, kind, thinned(xs, ys)) for name, kind, xs, ys in lines]
    series = [each for each in series if each[2]]
    if not series:
        return None
    xs = [x for _, _, points in series for x, _ in points]
    ys = [y for _, _, points in series for _, y in points] + [value for _, value in levels]
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1)
    y_low, y_high = (0.0 if from_zero else min(ys)), max(ys)
    logarithmic = y_low > 0 and y_high / y_low > WIDE_RANGE
    scaled = math.log if logarithmic else float
    room = (scaled(y_high) - scaled(y_low)) * 0.04 or abs(y_high) * 0.1 or 1.0
    bottom, top = scaled(y_low) - (0 if from_zero else room), scaled(y_high) + room
    grid = round_logarithmic(y_low, y_high) if logarithmic else round_numbers(bottom, top, 6)

    def x_at(x: float) -> float:
        return round(LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT), 1)

    def y_at(y: float) -> float:
        return round(HEIGHT - BOTTOM - (scaled(y) - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM), 1)

    def line(name: str, kind: str, points: list[Point]) -> Line:
        places = [(x_at(x), y_at(y)) for x, y in points]
        path = "M" + "L".join(f"{x:g},{y:g}" for x, y in places)
        return Line(name, kind, points, path, places if kind == "validation" and len(places) <= 120 else [])

    return Chart(
        title=title,
        unit=f"{unit}, logarithmic" if logarithmic else unit,
        x=(x_low, x_high),
        lines=[line(*each) for each in series],
        levels=[Level(name, value, y_at(value)) for name, value in levels],
        x_ticks=[(count(value), x_at(value)) for value in round_numbers(x_low, x_high, 8)],
        y_ticks=[(f"{value:g}", y_at(value)) for value in grid],
    )


def round_numbers(low: float, high: float, most: int) -> list[float]:
    """At most about `most` round numbers from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def round_logarithmic(low: float, high: float) -> list[float]:
    """The numbers 1, 2 and 5 times a power of ten between `low` and `high`, of a wide range the powers alone."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 4 else (1,)
    return [found for power in powers for factor in factors if low <= (found := float(f"{factor}e{power}")) <= high]
