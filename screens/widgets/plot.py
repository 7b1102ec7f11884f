"""A line plot drawn by plotext, in the theme's colours and told apart without them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Literal

from rich.segment import Segment
from rich.style import Style
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.curves import nice_ticks, thin
from lab.numbers import count

Kind = Literal["dots", "line", "marks", "level"]

MARKERS: dict[Kind, str] = {"dots": "braille", "line": "braille", "marks": "◆", "level": "╌"}
LEGEND: dict[Kind, str] = {"dots": "⠂⠁⠄", "line": "⠤⠒⠤", "marks": "◆", "level": "╌╌"}
BRAILLE = ("\u2800", "\u28ff")
MOST_Y_TICKS = 7
SMALLEST_ON_LOG = 1e-6
"""A loss of zero has no logarithm; this is far below any that matters."""
COLUMNS_PER_MARK = 3
"""Marks closer than this run into one another."""


@dataclass(frozen=True)
class Series:
    """One curve. `name` and `short` are its words in the legend, the short one where there is little room. A level's short words
    stand on its line too."""

    name: str
    short: str
    kind: Kind
    role: str
    """Component class that colours it: `train`, `raw`, `validation` or `level`; `run0` and on where several runs are drawn."""
    xs: Sequence[float]
    ys: Sequence[float]
    sign: str = ""
    """One character that stands for its marks instead of the usual one."""
    dashes: tuple[int, int] | None = None
    """So many cells of a line are drawn, then so many left out, so that lines are told apart without colour."""


@dataclass(frozen=True)
class Figure:
    """All that a plot shows. Two figures with the same `version` are the same."""

    series: tuple[Series, ...]
    version: object
    x_label: str = ""
    log_y: bool = False
    empty: str = "Nothing to plot yet."


@dataclass(frozen=True)
class Drawn:
    """Lines of (text, role) pieces, and where on them the curves are: columns `left` to `right` stand for `low_x` to `high_x`."""

    lines: list[list[tuple[str, str]]]
    left: int
    right: int
    low_x: float
    high_x: float
    named: frozenset[str]
    """Short words of the levels that stand on their own lines, or are out of view: the legend can do without them."""

    def column(self, x: float) -> int | None:
        """The column of an x; None where it is out of view."""
        if not self.low_x <= x <= self.high_x:
            return None
        return self.left + round((x - self.low_x) / (self.high_x - self.low_x) * (self.right - self.left))


MOST_RUNS = 5
"""Runs that can be told apart in one plot."""
RUN_ROLES = tuple(f"run{number}" for number in range(MOST_RUNS))
ROLES = ("raw", "train", "validation", "level", "axis", "cursor", *RUN_ROLES)
_ESCAPE = re.compile("\x1b\\[([0-9;]*)m")


def draw(figure: Figure, width: int, height: int) -> Drawn:
    """The figure as `height` lines of (text, role) pieces. The only place that touches plotext, whose figure is global.

    Roles travel through plotext as numbers of its 256-colour palette, so that the real colours stay the theme's.
    """
    import plotext

    plotext.clear_figure()
    plotext.theme("clear")
    plotext.limit_size(False, False)
    plotext.plot_size(width, height)
    plotext.xaxes(True, False)
    plotext.yaxes(True, False)
    plotext.ticks_color(ROLES.index("axis"))
    points = [(series, *_points(series, width)) for series in sorted(figure.series, key=lambda series: series.kind != "level")]
    low_x, high_x, low_y, high_y = _limits([(xs, ys) for series, xs, ys in points if series.kind != "level"])
    scale = _log if figure.log_y else float
    for series, xs, ys in points:
        if series.kind == "level":
            xs, ys = [low_x, high_x], [ys[0], ys[0]]
            if not low_y <= ys[0] <= high_y:
                continue
        ys = [scale(y) for y in ys]
        graph = plotext.plot if series.kind in ("line", "level") else plotext.scatter
        graph(xs, ys, marker=series.sign or MARKERS[series.kind], color=ROLES.index(series.role))
    plotext.xlim(low_x, high_x)
    plotext.ylim(scale(low_y), scale(high_y))
    x_ticks = nice_ticks(low_x, high_x, max(2, width // 14))
    plotext.xticks(x_ticks, [""] * len(x_ticks))
    about = max(2, min(height * 2 // 5, MOST_Y_TICKS))
    y_ticks = _log_ticks(low_y, high_y, about) if figure.log_y else nice_ticks(low_y, high_y, about)
    y_labels = [f"{tick:g}" for tick in y_ticks] if figure.log_y else _labels(y_ticks)
    plotext.yticks([scale(tick) for tick in y_ticks], y_labels)
    lines = [_pieces(line) for line in plotext.build().rstrip("\n").split("\n")]
    dashed = {series.role: series.dashes for series in figure.series if series.dashes}
    if dashed:
        lines = [_dashed(line, row, dashed) for row, line in enumerate(lines)]
    axis = "".join(text for text, _ in lines[-2])
    places = [at for at, sign in enumerate(axis) if sign in "┬┼"]
    labels = [count(tick) for tick in x_ticks] if x_ticks[-1] - x_ticks[0] >= len(x_ticks) - 1 else _labels(x_ticks)
    left = axis.index("└") + 1
    named = set()
    for series in sorted((series for series in figure.series if series.kind == "level"), key=lambda series: series.ys[0]):
        if low_y <= series.ys[0] <= high_y:
            row = _row(scale(series.ys[0]), scale(low_y), scale(high_y), len(lines) - 2)
            line = _named(lines[row], series.short, left)
            if line is None:
                continue
            lines[row] = line
        named.add(series.short)
    lines[-1] = [(_label_row(places, labels, figure.x_label, width), "axis")]
    return Drawn(lines, left, width - 1, low_x, high_x, frozenset(named))


def _labels(ticks: list[float]) -> list[str]:
    """Ticks with as many decimals as tell them apart."""
    apart = ticks[1] - ticks[0] if len(ticks) > 1 else abs(ticks[0]) / 100 or 1.0 if ticks else 1.0
    decimals = max(0, -math.floor(math.log10(apart) + 1e-9))
    return [f"{tick:.{decimals}f}" for tick in ticks]


def _log(y: float) -> float:
    """Plotext's own logarithmic scale loses curves, so that it is given logarithms."""
    return math.log10(max(y, SMALLEST_ON_LOG))


def _log_ticks(low: float, high: float, about: int) -> list[float]:
    """1, 2 and 5 times powers of ten, or the powers alone where those are many; round numbers where there is at most one."""
    low = max(low, SMALLEST_ON_LOG)
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    for multiples in ((1, 2, 5), (1,)):
        ticks = [m * 10.0**power for power in powers for m in multiples if low <= m * 10.0**power <= high]
        if len(ticks) <= about:
            break
    return ticks if len(ticks) > 1 else nice_ticks(low, high, about)


def _row(y: float, low: float, high: float, rows: int) -> int:
    """On which line plotext draws a y."""
    return rows - 1 - round((y - low) / (high - low) * (rows - 1))


def _named(line: list[tuple[str, str]], name: str, left: int) -> list[tuple[str, str]] | None:
    """The line of a level with its name on it, as far right as there is nothing but the level; None where there is no room."""
    cells = [(sign, role) for text, role in line for sign in text]
    words = f" {name} "
    for start in range(len(cells) - len(words) - 1, left, -1):
        under = cells[start : start + len(words)]
        if all(role == "level" for _, role in under):
            cells[start : start + len(words)] = [(sign, "axis") for sign in words]
            return _joined(cells)
    return None


def with_cursor(line: list[tuple[str, str]], column: int) -> list[tuple[str, str]]:
    """The line with a stroke at this column, through blanks and over what is there in dots, but not over a mark."""
    cells = [(sign, role) for text, role in line for sign in text]
    cells += [(" ", "axis")] * (column + 1 - len(cells))
    if cells[column][1] != "validation":
        cells[column] = ("│", "cursor")
    return _joined(cells)


def _dashed(line: list[tuple[str, str]], row: int, dashes: dict[str, tuple[int, int]]) -> list[tuple[str, str]]:
    """The line with gaps in the curves of these roles; shifted from row to row, so that steep ones have gaps too."""
    cells = [(sign, role) for text, role in line for sign in text]
    for at, (sign, role) in enumerate(cells):
        if role in dashes and BRAILLE[0] <= sign <= BRAILLE[1] and (at + 2 * row) % sum(dashes[role]) >= dashes[role][0]:
            cells[at] = (" ", role)
    return _joined(cells)


def _joined(cells: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [("".join(sign for sign, _ in group), role) for role, group in groupby(cells, key=itemgetter(1))]


def _label_row(places: list[int], labels: list[str], unit: str, width: int) -> str:
    """The labels under the marks of the axis, the first and the last first; one that would touch another is left out.

    Plotext's own row drops labels by rules that depend on what it drew before.
    """
    row = [" "] * width
    pairs = list(zip(places, labels, strict=False))
    if pairs and unit:
        pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]} {unit}")
    for place, label in [*pairs[-1:], *pairs[:-1]]:
        start = max(0, min(place - len(label) // 2, width - len(label)))
        if all(sign == " " for sign in row[max(0, start - 1) : start + len(label) + 1]):
            row[start : start + len(label)] = label
    return "".join(row)


def _points(series: Series, width: int) -> tuple[list[float], list[float]]:
    """The points of a curve that so many columns can show."""
    if series.kind == "marks":
        return _spaced(list(series.xs), list(series.ys), max(1, width // COLUMNS_PER_MARK))
    return thin(series.xs, series.ys, width)


def _limits(curves: Sequence[tuple[list[float], list[float]]]) -> tuple[float, float, float, float]:
    """The range of x and of y that the curves span, widened where it is a single value."""
    low_x, high_x = min(xs[0] for xs, _ in curves), max(xs[-1] for xs, _ in curves)
    low_y, high_y = min(min(ys) for _, ys in curves), max(max(ys) for _, ys in curves)
    margin = 0.04 * (high_y - low_y) or 0.05 * abs(high_y) or 1.0
    return low_x, high_x if high_x > low_x else low_x + 1, low_y - margin if low_y - margin > 0 else low_y, high_y + margin


def _spaced(xs: list[float], ys: list[float], most: int) -> tuple[list[float], list[float]]:
    """Every so-manieth point, counted from the last one, which is always kept."""
    every = -(-len(xs) // most) if xs else 1
    return xs[::-1][::every][::-1], ys[::-1][::every][::-1]


def _pieces(line: str) -> list[tuple[str, str]]:
    """A line of plotext's output as (text, role); text without a colour is the axes'."""
    pieces: list[tuple[str, str]] = []
    role, at = "axis", 0
    for escape in _ESCAPE.finditer(line):
        if escape.start() > at:
            pieces.append((line[at : escape.start()], role))
        codes = escape.group(1).split(";")
        role = ROLES[int(codes[2])] if codes[:2] == ["38", "5"] else "axis"
        at = escape.end()
    if at < len(line):
        pieces.append((line[at:], role))
    return pieces


class Plot(Widget):
    """Shows a `Figure`: the legend in words on its first line, the plot below. Drawn once for each figure and size."""

    COMPONENT_CLASSES = {f"plot--{role}" for role in ROLES}
    DEFAULT_CSS = """
    Plot {
        & > .plot--raw { color: $foreground 45%; }
        & > .plot--train { color: $primary; text-style: bold; }
        & > .plot--validation { color: $warning; text-style: bold; }
        & > .plot--level { color: $foreground 60%; }
        & > .plot--cursor { color: $foreground; text-style: bold; }
        & > .plot--axis { color: $foreground 70%; }
        & > .plot--run0 { color: $primary; text-style: bold; }
        & > .plot--run1 { color: $warning; text-style: bold; }
        & > .plot--run2 { color: $success; text-style: bold; }
        & > .plot--run3 { color: $error; text-style: bold; }
        & > .plot--run4 { color: $foreground; text-style: bold; }
    }
    """

    figure: reactive[Figure | None] = reactive(None)
    cursor: reactive[float | None] = reactive(None)
    """Where on the x axis a stroke is drawn."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._key: object = None
        self._drawn: Drawn | None = None
        self._legend_line: list[tuple[str, str]] = []

    @property
    def columns(self) -> int:
        """How many columns the curves are drawn on; 1 before that."""
        return max(1, self._drawn.right - self._drawn.left) if self._drawn else 1

    def _line(self, y: int) -> list[tuple[str, str]]:
        width, height = self.size
        figure = self.figure
        if figure is None or not any(series.kind != "level" and len(series.xs) for series in figure.series):
            self._key, self._drawn = None, None
            return [(figure.empty if figure and not y else "", "axis")]
        key = (figure.version, figure.log_y, width, height)
        if self._key != key or self._drawn is None:
            shown = tuple(series for series in figure.series if len(series.xs))
            self._drawn = draw(Figure(shown, figure.version, figure.x_label, figure.log_y), width, max(4, height - 1))
            self._legend_line = self._legend(shown, self._drawn.named, width)
            self._key = key
        if y == 0:
            return self._legend_line
        lines = self._drawn.lines
        if y > len(lines):
            return []
        column = self._drawn.column(self.cursor) if self.cursor is not None else None
        return lines[y - 1] if column is None or y > len(lines) - 2 else with_cursor(lines[y - 1], column)

    def _legend(self, shown: Sequence[Series], named: frozenset[str], width: int) -> list[tuple[str, str]]:
        """In words, shorter ones where they are too long; at last without levels that carry their names on their lines."""
        needed = [series for series in shown if series.kind != "level" or series.short not in named]
        for which, long in ((shown, True), (needed, True), (shown, False), (needed, False)):
            pieces = [piece for series in which for piece in _legend_entry(series, series.name if long else series.short)]
            if sum(len(text) for text, _ in pieces) <= width:
                break
        return pieces

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        styles: dict[str, Style] = {role: self.get_component_rich_style(f"plot--{role}") for role in ROLES}
        segments = [Segment(text, styles[role]) for text, role in self._line(y)]
        return Strip(segments).adjust_cell_length(self.size.width, base)


def _legend_entry(series: Series, name: str) -> list[tuple[str, str]]:
    sample = series.sign or LEGEND[series.kind]
    if series.dashes:
        on, off = series.dashes
        sample = (("⠤" * on + " " * off) * 3)[: max(3, on + off + 1)].rstrip()
    return [(f"{sample} ", series.role), (f"{name}  ", "axis")]
