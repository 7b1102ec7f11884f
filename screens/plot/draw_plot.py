"""A figure as lines of characters: curves in braille, the area between two, axes with ticks, events on the x axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

import numpy as np
from rich.cells import cell_len

from lab.core.number_format import count
from lab.runs.run_history import Floats
from lab.runs.run_schema import EventKind
from screens.plot.braille_canvas import DOTS_A_ROW, BrailleCanvas, PlotCell
from screens.plot.figure import EVENT_SIGNS, MARK, Area, Figure, Series, dashes_of
from screens.widgets.text_fitting import Piece

SHADED = "+area"
"""End of the role of a cell that is tinted."""
GLYPH = "░"
HALVES = {(True, False): "▀", (False, True): "▄"}
"""A tint in the upper or the lower half of a blank cell."""
SHARE = 0.5
"""Share of a half cell, or without colours of a cell, from which on it counts as inside."""


def shade(
    cells: list[list[PlotCell]], area: Area, canvas: BrailleCanvas, scale: Callable[[Floats], Floats], paints: bool
) -> None:
    """Shade the cells of the canvas that are inside the area. No character of a curve is changed."""
    covered = halves_covered(area, canvas, scale)
    rows, columns = np.nonzero(covered.max(2) > SHARE)
    for row, column, (upper, lower) in zip(rows.tolist(), columns.tolist(), covered[rows, columns].tolist(), strict=True):
        sign, role = cells[row][column]
        half = (upper > SHARE, lower > SHARE)
        if paints and (all(half) if sign == " " else upper + lower > 2 * SHARE):
            cells[row][column] = (sign, role + SHADED)
        elif sign == " " and paints:
            cells[row][column] = (HALVES[half], "area")
        elif sign == " " and all(half):
            cells[row][column] = (GLYPH, "area")


def halves_covered(area: Area, canvas: BrailleCanvas, scale: Callable[[Floats], Floats]) -> Floats:
    """(rows, columns, 2): the share of the upper and the lower half of each cell that is between the curves."""
    low, high = max(area.xs[0], area.other_xs[0]), min(area.xs[-1], area.other_xs[-1])
    xs = np.array([canvas.x_of(column) for column in range(canvas.columns)])
    first, second = (
        canvas.heights_of(scale(np.interp(xs, curve_xs, ys)))
        for curve_xs, ys in ((area.xs, area.ys), (area.other_xs, area.other_ys))
    )
    bottom, top = np.minimum(first, second), np.maximum(first, second)
    ends = 2 * canvas.rows - np.arange(2 * canvas.rows)[:, None]  # the upper ends, in half cells from the bottom
    covered = np.clip(np.minimum(2 * top, ends) - np.maximum(2 * bottom, ends - 1), 0, 1)
    covered[:, (xs < low) | (xs > high)] = 0
    return np.asarray(covered.reshape(canvas.rows, 2, canvas.columns).transpose(0, 2, 1))


def thin(xs: Sequence[float] | Floats, ys: Sequence[float] | Floats, buckets: int) -> tuple[list[float], list[float]]:
    """At most two points for each of `buckets` equal stretches of x: the lowest and the highest, in their order.

    `xs` must not fall. What a plot with that many columns would show is unchanged, a spike of one step included.
    """
    x, y = np.asarray(xs), np.asarray(ys)
    if len(x) <= 2 * buckets:
        return x.tolist(), y.tolist()
    starts = np.searchsorted(x, np.linspace(x[0], x[-1], buckets + 1)[:-1])
    chosen: list[int] = []
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(x)], strict=True):
        if start < end:
            part = y[start:end]
            low, high = start + int(part.argmin()), start + int(part.argmax())
            chosen += [low] if low == high else [min(low, high), max(low, high)]
    return x[chosen].tolist(), y[chosen].tolist()


MOST_Y_TICKS = 7
COLUMNS_A_MARK = 4
"""Marks closer than this would hide the line between them."""
COLUMNS_A_CHOSEN_MARK = 10
"""Distance of the marks where the points are closer than that, and only some have one."""
LEVELS = "▔╌╌▁"
"""A level at each height in its cell, from the top: a curve or a mark in the same row is then above or below it."""
COUNTS = frozenset(("steps", "step", "round", "tokens", "vocabulary"))
"""Names of x axes that count: between two whole numbers is nothing to name."""


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
    y_range: tuple[float, float] = (0.0, 1.0)
    """Lowest and highest y in view."""
    log_y: bool = False
    has_area: bool = False
    """True if the shaded area covers any cell."""
    cells: list[list[PlotCell]] = field(default_factory=list, repr=False)
    """The same lines, cell by cell."""

    def column(self, x: float) -> int | None:
        """The column of an x; None where it is out of view."""
        if not self.low_x <= x <= self.high_x:
            return None
        dots = 2 * (self.right - self.left) + 1
        return self.left + min(dots, round((x - self.low_x) / (self.high_x - self.low_x) * dots)) // 2

    def x_at(self, column: int) -> float:
        """The x in the middle of a column; at the sides that of the first or last dot."""
        place = (2 * (column - self.left) + 0.5) / (2 * (self.right - self.left) + 1)
        return self.low_x + min(1.0, max(0.0, place)) * (self.high_x - self.low_x)

    def y_at(self, row: int) -> float:
        """The y in the middle of a row of the curves."""
        low, high = (_log(y) if self.log_y else y for y in self.y_range)
        rows = len(self.lines) - 2
        place = low + min(1.0, max(0.0, 1 - (row + 0.5) / rows)) * (high - low)
        return float(10.0**place) if self.log_y else place


def draw(figure: Figure, width: int, height: int, *, paints: bool = True) -> Drawn:
    """The figure as `height` lines of (text, role) pieces; the last two are the x axis and its labels.

    `paints`: the terminal can tint a cell, so that an area needs no characters.
    """
    curves = []
    for series in figure.series:
        if series.kind != "level":  # downsampled to so many columns; all evaluations
            most = width if series.kind in ("dots", "line") else max(width, len(series.xs))
            curves.append((series, *thin(series.xs, series.ys, most)))
    low_x, high_x, low_y, high_y = _limits(curves, figure)
    rows = height - 2
    about = max(2, min(rows * 2 // 5, MOST_Y_TICKS))
    if figure.log_y:
        low_y, high_y = max(low_y, SMALLEST_ON_LOG) * 0.98, high_y * 1.02
        y_ticks = log_ticks(low_y, high_y, about)
        y_labels = [f"{tick:g}" for tick in y_ticks]
    else:
        even = even_scale(low_y, high_y, rows, about)
        low_y, high_y, y_ticks = even.low, even.high, even.ticks
        y_labels = tick_labels(y_ticks)
    margin = max(len(label) for label in y_labels)
    left = margin + 1
    scale = _log if figure.log_y else float
    canvas = BrailleCanvas(rows, max(2, width - left), (low_x, scale(low_y)), (high_x, scale(high_y)))
    marks: list[tuple[float, float, str, str]] = []
    taken: set[tuple[int, int]] = set()
    # A line over the one with marks: where the two coincide, its colour and the marks show both.
    for series, xs, ys in sorted(curves, key=lambda curve: curve[0].kind != "marked" or bool(curve[0].sign)):
        ys = [scale(y) for y in ys]
        if series.kind == "dots":
            canvas.dots(xs, ys, series.role)
        elif series.kind != "marks" and len(xs) > 1:
            canvas.line(xs, ys, series.role, dashes_of(series, paints))
        if series.kind in ("marked", "marks"):
            marks += _marks(series, xs, ys, canvas, (low_x, high_x), taken)
    cells = canvas.cells()
    levels = _draw_levels(cells, figure.series, canvas, (low_y, high_y), scale)
    if figure.area is not None:
        shade(cells, figure.area, canvas, np.vectorize(scale, [float]), paints)
    for x, y, sign, role in marks:
        row, column = canvas.row(y), canvas.column(x)
        cells[row][column] = (sign, role + (SHADED if cells[row][column][1].endswith(SHADED) else ""))
    names = {name for row, name in levels.items() if _name_level(cells, row, name)}
    labels: dict[int, str] = {}
    for tick, label in zip(y_ticks, y_labels, strict=True):
        labels.setdefault(canvas.row(scale(tick)), label)
    for row, line in enumerate(cells):
        line[:0] = [(sign, "axis") for sign in (labels[row].rjust(margin) + "┤" if row in labels else " " * margin + "│")]
    drawn = Drawn([], left, left + canvas.columns - 1, low_x, high_x, frozenset())
    axis, events = _axis(drawn, figure, margin)
    cells += axis
    out_of_view = {each.short for each in figure.series if each.kind == "level" and not low_y <= each.ys[0] <= high_y}
    named = frozenset(out_of_view | names)
    lines = [joined(line) for line in cells]
    shaded = any(role == "area" or role.endswith(SHADED) for line in lines for _, role in line)
    return Drawn(lines, drawn.left, drawn.right, low_x, high_x, named, events, (low_y, high_y), figure.log_y, shaded, cells)


def _draw_levels(
    cells: list[list[PlotCell]],
    all_series: Sequence[Series],
    canvas: BrailleCanvas,
    y_range: tuple[float, float],
    scale: Callable[[float], float],
) -> dict[int, str]:
    """Draw the levels in view behind the curves; return the name on each row."""
    found: dict[int, str] = {}
    for series in all_series:
        if series.kind == "level" and y_range[0] <= series.ys[0] <= y_range[1]:
            row, height = canvas.row_and_dot(scale(series.ys[0]))
            found.setdefault(row, series.short)
            cells[row] = [(LEVELS[height], series.role) if sign == " " else (sign, role) for sign, role in cells[row]]
    return found


def _axis(drawn: Drawn, figure: Figure, margin: int) -> tuple[list[list[PlotCell]], tuple[EventKind, ...]]:
    """The x axis with events and labels, and the kinds of events on it."""
    width = drawn.right + 1
    ticks = nice_ticks(drawn.low_x, drawn.high_x, max(2, width // 14))
    ends = {float(x) for series in figure.series if series.kind != "level" for x in (series.xs[0], series.xs[-1])}
    if len(ends) == 1 and figure.x_window is None:
        ticks = [*ends]  # a single point: the range about it was made up
    if figure.x_label in COUNTS:
        ticks = [tick for tick in ticks if tick.is_integer()] or [math.ceil(drawn.low_x)]
    labels = [count(tick) for tick in ticks] if ticks[-1] - ticks[0] >= len(ticks) - 1 else tick_labels(ticks)
    places = [drawn.column(tick) or drawn.left for tick in ticks]
    signs = ["─"] * (width - drawn.left)
    for place in places:
        signs[place - drawn.left] = "┬"
    cells: list[PlotCell] = [(sign, "axis") for sign in " " * margin + "└" + "".join(signs)]
    seen: dict[int, EventKind] = {}
    rank = list(EVENT_SIGNS)
    for x, kind in figure.events:
        column = drawn.column(x)
        if column is not None and (column not in seen or rank.index(kind) >= rank.index(seen[column])):
            seen[column] = kind
    for column, kind in sorted(seen.items()):
        if kind == "checkpoint" and seen.get(column - 1) == kind and cells[column - 1][1] == "event":
            continue  # of adjacent checkpoints every second is drawn
        cells[column] = (EVENT_SIGNS[kind][0], "event")
    kinds = tuple(kind for kind in EVENT_SIGNS if kind in seen.values())
    return [cells, [(sign, "axis") for sign in label_row(places, labels, figure.x_label, width)]], kinds


def _marks(
    series: Series,
    xs: list[float],
    ys: list[float],
    canvas: BrailleCanvas,
    window: tuple[float, float],
    taken: set[tuple[int, int]],
) -> list[tuple[float, float, str, str]]:
    """The marks of a series: x, y, sign and role of each. Letters of several runs move to free columns, into `taken`."""
    inside = [(x, y) for x, y in zip(xs, ys, strict=True) if window[0] <= x <= window[1] and canvas.shows(y)]
    chosen = _apart(inside, canvas, COLUMNS_A_MARK)
    if len(chosen) < len(inside) - 1:  # the last evaluation may come soon after the one before
        chosen = _apart(inside, canvas, COLUMNS_A_CHOSEN_MARK)
    if not series.sign:
        return [(x, y, MARK, series.role) for x, y in chosen]
    marks = []
    for x, y in chosen:
        row, column = canvas.row(y), canvas.column(x)
        free = next(at for at in (*range(column, canvas.columns), *range(column, -1, -1)) if (row, at) not in taken)
        taken.add((row, free))
        marks.append((x if free == column else canvas.x_of(free), y, series.sign, series.role))
    return marks


def _apart(points: list[tuple[float, float]], canvas: BrailleCanvas, columns: int) -> list[tuple[float, float]]:
    """The points that are so many columns apart, chosen from the last, which is always kept."""
    chosen: list[tuple[float, float]] = []
    for point in reversed(points):
        if not chosen or canvas.column(chosen[-1][0]) - canvas.column(point[0]) >= columns:
            chosen.append(point)
    return chosen[::-1]


def _log(y: float) -> float:
    return math.log10(max(y, SMALLEST_ON_LOG))


def _name_level(cells: list[list[PlotCell]], row: int, name: str) -> bool:
    """Write the name of a level on its line, else above or below it, as far right as there is room; False if there is none."""
    words = f" {name} "
    for line, free in ((row, LEVELS), (row - 1, " "), (row + 1, " ")):
        if not 0 <= line < len(cells):
            continue
        for start in range(len(cells[line]) - len(words) - 1, 0, -1):
            if all(sign in free for sign, _ in cells[line][start : start + len(words)]):
                under = [role for _, role in cells[line][start : start + len(words)]]
                named = [(sign, "name" + SHADED * role.endswith(SHADED)) for sign, role in zip(words, under, strict=True)]
                cells[line][start : start + len(words)] = named
                return True
    return False


def with_cursor(line: Sequence[PlotCell], column: int) -> list[Piece]:
    """The line with the cursor at this column: over blanks, levels and braille, but not over a mark or a name."""
    cells = [(sign, role) for text, role in line for sign in text]
    cells += [(" ", "axis")] * (column + 1 - len(cells))
    sign, role = cells[column]
    if role.removesuffix(SHADED) != "name" and (sign in " ░▀▄" + LEVELS or "\u2800" <= sign <= "\u28ff"):
        cells[column] = ("│", "cursor" + (SHADED if role.endswith(SHADED) else ""))
    return joined(cells)


def joined(cells: Sequence[PlotCell]) -> list[Piece]:
    """Neighbours of one role as one piece."""
    return [("".join([sign for sign, _ in run]), role) for role, run in groupby(cells, key=itemgetter(1))]


def _limits(curves: Sequence[tuple[Series, list[float], list[float]]], figure: Figure) -> tuple[float, float, float, float]:
    """The range of x and of y to show: the figure's windows, else what the curves span, widened where it is a single value."""
    low_x = min(float(series.xs[0]) for series, _, _ in curves)
    high_x = max(float(series.xs[-1]) for series, _, _ in curves)
    if figure.x_window is not None:
        low_x, high_x = max(low_x, figure.x_window[0]), min(high_x, figure.x_window[1])
    if figure.y_window is not None:
        low_y, high_y = figure.y_window
    else:
        found = [y for _, xs, ys in curves for x, y in zip(xs, ys, strict=True) if low_x <= x <= high_x]
        found = found or [y for _, _, ys in curves for y in ys]
        low_y, high_y = min(found), max(found)
    if not high_y > low_y:
        margin = 0.05 * abs(high_y) or 1.0
        low_y, high_y = low_y - margin if low_y > margin else low_y, high_y + margin
    return low_x, high_x if high_x > low_x else low_x + 1, low_y, high_y


SMALLEST_ON_LOG = 1e-6
"""A loss of zero has no logarithm; this is far below any that matters."""

LOG_MULTIPLES = ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
"""Multiples of powers of ten that are ticks, from many to few."""
FEWEST_ROWS_A_TICK = 2
WASTE_OF_TICKS = 0.15
"""Share of the height that half as many ticks as wanted, or twice as many, are worth."""


@dataclass(frozen=True)
class EvenScale:
    """A linear y axis whose ticks are a whole number of rows apart; `row` is the height of a row of cells."""

    row: float
    bottom: int
    """The lowest braille dot, in dots above zero: a quarter of a row each."""
    rows_a_tick: int
    rows: int

    @property
    def low(self) -> float:
        """The y of the lowest braille dot."""
        return self.bottom * self.row / DOTS_A_ROW

    @property
    def high(self) -> float:
        """The y of the highest braille dot."""
        return (self.bottom + DOTS_A_ROW * self.rows - 1) * self.row / DOTS_A_ROW

    @property
    def ticks(self) -> list[float]:
        apart = DOTS_A_ROW * self.rows_a_tick
        spacing = self.row * self.rows_a_tick
        # A product of whole numbers: the sum of fractions would not be round.
        return [
            each * spacing for each in range(-(-self.bottom // apart), (self.bottom + DOTS_A_ROW * self.rows - 1) // apart + 1)
        ]


def even_scale(low: float, high: float, rows: int, about: int) -> EvenScale:
    """The scale with evenly spaced round ticks that shows `low` to `high` in the least room, near `about` ticks."""
    span = max(high - low, 1e-9 * max(1.0, abs(high)))
    best: tuple[float, EvenScale] | None = None
    fewest = FEWEST_ROWS_A_TICK if rows > 2 * FEWEST_ROWS_A_TICK else 1
    power = math.floor(math.log10(span / rows))
    for exponent in range(power, power + 4):
        for mantissa in (1, 2, 5):
            spacing = mantissa * 10.0**exponent
            most = math.floor(spacing * rows / span + 1e-9)  # of closer ticks, the rows would not span the curves
            for apart in range(max(fewest, min(most // 2, rows)), min(most, rows) + 1):
                row = spacing / apart
                scale = EvenScale(row, math.floor(low / row * DOTS_A_ROW + 1e-6), apart, rows)
                if scale.high < high - 1e-9 * span:
                    continue
                ticks = len(scale.ticks)
                waste = row * rows / span + WASTE_OF_TICKS * abs(math.log2((ticks or 0.5) / about)) + (ticks < 2)
                if best is None or waste < best[0]:
                    best = waste, scale
    assert best is not None, (low, high, rows)
    return best[1]


def tick_labels(ticks: list[float]) -> list[str]:
    """Ticks with as many decimals as tell them apart."""
    apart = ticks[1] - ticks[0] if len(ticks) > 1 else abs(ticks[0]) / 100 or 1.0 if ticks else 1.0
    decimals = max(0, -math.floor(math.log10(apart) + 1e-9))
    return [f"{tick:.{decimals}f}" for tick in ticks]


def log_ticks(low: float, high: float, about: int) -> list[float]:
    """Round multiples of powers of ten, or the powers alone where those are many; round numbers where there is at most one."""
    low = max(low, SMALLEST_ON_LOG)
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    for multiples in LOG_MULTIPLES:
        ticks = [m * 10.0**power for power in powers for m in multiples if low <= m * 10.0**power <= high]
        if len(ticks) <= about:
            break
    return ticks if len(ticks) > 1 else nice_ticks(low, high, about)


def label_row(places: list[int], labels: list[str], unit: str, width: int) -> str:
    """The labels under the marks of the axis, the last and the first first; one that would touch another is left out.

    Every number is centred under its mark as far as the row reaches. The unit follows the last number with room behind it; where
    there is none and the row is long, it takes the end of the row if two numbers are left.
    """
    row, size = [" "] * width, cell_len(unit)
    pairs = list(zip(places, labels, strict=False))
    ends: list[int] = []
    for place, label in [*pairs[-1:], *pairs[:-1]]:
        start = max(0, min(place - len(label) // 2, width - len(label)))
        if all(sign == " " for sign in row[max(0, start - 1) : start + len(label) + 1]):
            row[start : start + len(label)] = label
            ends.append(start + len(label))
    for end in sorted(ends, reverse=True) if unit else []:
        if end + 1 + size <= width and all(sign == " " for sign in row[end : end + size + 3]):
            row[end + 1 : end + 1 + size] = unit
            return "".join(row)
    if unit and 3 * (size + 2) <= width:
        kept = "".join(row)[: -size - 1].rpartition(" ")[0]  # without a number that would be cut
        if len(kept.split()) > 1:
            return f"{kept.ljust(width - size - 1)} {unit}"
    return "".join(row)


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
