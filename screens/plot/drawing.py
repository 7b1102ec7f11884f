"""A figure as lines of characters: curves in braille, axes with ticks, events on the x axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from lab.core.float_columns import Floats
from lab.core.number_format import count
from lab.runs.run_schema import EventKind
from screens.plot.axis_ticks import SMALLEST_ON_LOG, label_row, log_ticks, nice_ticks, tick_labels
from screens.plot.braille_canvas import BrailleCanvas
from screens.plot.downsample import thin
from screens.plot.figure import EVENT_SIGNS, LEGEND_SIGNS, Figure, Series
from screens.widgets.text_fitting import Piece

MOST_Y_TICKS = 7
COLUMNS_PER_MARK = 3
"""Marks closer than this would touch."""


@dataclass(frozen=True)
class Drawn:
    """Lines of (text, role) pieces, and the area of the curves: columns `left` to `right` are `low_x` to `high_x`."""

    lines: list[list[Piece]]
    left: int
    right: int
    low_x: float
    high_x: float
    named: frozenset[str]
    """Short labels of the levels that are on their lines or out of view: the legend can omit them."""
    events: tuple[EventKind, ...] = ()
    """Kinds of events marked on the axis."""

    def column(self, x: float) -> int | None:
        """The column of an x; None where it is out of view."""
        if not self.low_x <= x <= self.high_x:
            return None
        return self.left + round((x - self.low_x) / (self.high_x - self.low_x) * (self.right - self.left))


def draw(figure: Figure, width: int, height: int) -> Drawn:
    """The figure as `height` lines of (text, role) pieces; the last two are the x axis and its labels."""
    points = [(series, *_points(series, width)) for series in sorted(figure.series, key=lambda series: series.kind != "level")]
    low_x, high_x, low_y, high_y = _limits([(series.xs, ys) for series, _, ys in points if series.kind != "level"])
    about = max(2, min(height * 2 // 5, MOST_Y_TICKS))
    y_ticks = log_ticks(low_y, high_y, about) if figure.log_y else nice_ticks(low_y, high_y, about)
    y_labels = [f"{tick:g}" for tick in y_ticks] if figure.log_y else tick_labels(y_ticks)
    margin = max(len(label) for label in y_labels)
    scale = _log if figure.log_y else float
    canvas = BrailleCanvas(height - 2, max(2, width - margin - 1), (low_x, scale(low_y)), (high_x, scale(high_y)))
    names = {}
    taken: set[tuple[int, int]] = set()
    for series, xs, ys in points:
        if series.kind == "level":
            if low_y <= ys[0] <= high_y:
                canvas.level(scale(ys[0]), "╌", series.role)
                names[canvas.row(scale(ys[0]))] = series.short
            continue
        ys = [scale(y) for y in ys]
        if series.kind == "line":
            canvas.line(xs, ys, series.role, series.dashes)
        elif series.kind == "dots":
            canvas.dots(xs, ys, series.role)
        elif series.sign:
            canvas.signs(_beside(xs, ys, canvas, taken), ys, series.sign, series.role)
        else:
            canvas.signs(xs, ys, LEGEND_SIGNS["marks"], series.role)
    lines = canvas.lines()
    left = margin + 1
    labels = {canvas.row(scale(tick)): label for tick, label in zip(y_ticks, y_labels, strict=True)}
    for row, line in enumerate(lines):
        line.insert(0, (labels[row].rjust(margin) + "┤" if row in labels else " " * margin + "│", "axis"))
    missing = _name_levels(lines, names, left)
    drawn = Drawn(lines, left, left + canvas.columns - 1, low_x, high_x, frozenset())
    out_of_view = {series.short for series in figure.series if series.kind == "level"} - set(names.values())
    axis, events = _axis(drawn, figure, margin)
    lines += axis
    named = frozenset(out_of_view | (set(names.values()) - missing))
    return Drawn(lines, drawn.left, drawn.right, low_x, high_x, named, events)


def _name_levels(lines: list[list[Piece]], names: dict[int, str], left: int) -> set[str]:
    """Write the levels' names on their lines, by row; return those for which there is no room."""
    missing = set()
    for row, name in names.items():
        line = _named(lines[row], name, left)
        if line is None:
            missing.add(name)
        else:
            lines[row] = line
    return missing


def _axis(drawn: Drawn, figure: Figure, margin: int) -> tuple[list[list[Piece]], tuple[EventKind, ...]]:
    """The x axis with events and labels, and the kinds of events on it."""
    width = drawn.right + 1
    ticks = nice_ticks(drawn.low_x, drawn.high_x, max(2, width // 14))
    labels = [count(tick) for tick in ticks] if ticks[-1] - ticks[0] >= len(ticks) - 1 else tick_labels(ticks)
    places = [drawn.column(tick) or drawn.left for tick in ticks]
    signs = ["─"] * (width - drawn.left)
    for place in places:
        signs[place - drawn.left] = "┬"
    cells: list[Piece] = [(" " * margin + "└", "axis"), *((sign, "axis") for sign in signs)]
    seen: dict[int, EventKind] = {}
    rank = list(EVENT_SIGNS)
    for x, kind in figure.events:
        column = drawn.column(x)
        if column is not None and (column not in seen or rank.index(kind) >= rank.index(seen[column])):
            seen[column] = kind
    for column, kind in sorted(seen.items()):
        if kind == "checkpoint" and seen.get(column - 1) == kind and cells[column - margin - 1][1] == "event":
            continue  # of adjacent checkpoints every second is drawn
        cells[column - margin] = (EVENT_SIGNS[kind][0], "event")
    kinds = tuple(kind for kind in EVENT_SIGNS if kind in seen.values())
    return [_joined(cells), [(label_row(places, labels, figure.x_label, width), "axis")]], kinds


def _beside(xs: list[float], ys: list[float], canvas: BrailleCanvas, taken: set[tuple[int, int]]) -> list[float]:
    """Positions of a run's marks, moved to free columns; adds them to `taken`."""
    moved = []
    for x, y in zip(xs, ys, strict=True):
        row, column = canvas.row(y), canvas.column(x)
        free = [at for at in range(column, canvas.columns) if (row, at) not in taken]
        free += [at for at in range(column, -1, -1) if (row, at) not in taken]
        taken.add((row, free[0]))
        moved.append(x if free[0] == column else canvas.x_of(free[0]))
    return moved


def _log(y: float) -> float:
    return math.log10(max(y, SMALLEST_ON_LOG))


def _named(line: list[Piece], name: str, left: int) -> list[Piece] | None:
    """The line of a level with its name, as far right as nothing else is drawn; None if there is no room."""
    cells = [(sign, role) for text, role in line for sign in text]
    words = f" {name} "
    for start in range(len(cells) - len(words) - 1, left, -1):
        under = cells[start : start + len(words)]
        if all(role == "level" for _, role in under):
            cells[start : start + len(words)] = [(sign, "axis") for sign in words]
            return _joined(cells)
    return None


def with_cursor(line: list[Piece], column: int) -> list[Piece]:
    """The line with the cursor at this column, over blanks and dots but not over a mark."""
    cells = [(sign, role) for text, role in line for sign in text]
    cells += [(" ", "axis")] * (column + 1 - len(cells))
    if cells[column][1] != "validation":
        cells[column] = ("│", "cursor")
    return _joined(cells)


def _joined(cells: list[Piece]) -> list[Piece]:
    return [("".join(sign for sign, _ in group), role) for role, group in groupby(cells, key=itemgetter(1))]


def _points(series: Series, width: int) -> tuple[list[float], list[float]]:
    """The points of a curve, downsampled to so many columns."""
    if series.kind == "marks":
        return _spaced(list(series.xs), list(series.ys), max(1, width // COLUMNS_PER_MARK))
    return thin(series.xs, series.ys, width)


def _limits(curves: Sequence[tuple[Sequence[float] | Floats, list[float]]]) -> tuple[float, float, float, float]:
    """The range of x and of y that the curves span, widened where it is a single value."""
    low_x, high_x = min(float(xs[0]) for xs, _ in curves), max(float(xs[-1]) for xs, _ in curves)
    low_y, high_y = min(min(ys) for _, ys in curves), max(max(ys) for _, ys in curves)
    margin = 0.04 * (high_y - low_y) or 0.05 * abs(high_y) or 1.0
    return low_x, high_x if high_x > low_x else low_x + 1, low_y - margin if low_y - margin > 0 else low_y, high_y + margin


def _spaced(xs: list[float], ys: list[float], most: int) -> tuple[list[float], list[float]]:
    """Every n-th point, counted from the last, which is always kept."""
    every = -(-len(xs) // most) if xs else 1
    return xs[::-1][::every][::-1], ys[::-1][::every][::-1]
