"""A line plot in braille, in the theme's colours and told apart without them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import Literal

from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.core.float_columns import Floats
from lab.core.number_format import count
from lab.core.visible_text import visible
from lab.runs.loss_history import nice_ticks, thin
from lab.runs.run_schema import EventKind
from screens.plot.braille_canvas import SMALLEST_ON_LOG, Canvas, Piece, label_row, log_ticks, tick_labels

Kind = Literal["dots", "line", "marks", "level"]

LEGEND: dict[Kind, str] = {"dots": "⠂⠁⠄", "line": "⠤⠒⠤", "marks": "◆", "level": "╌╌"}
MOST_Y_TICKS = 7
COLUMNS_PER_MARK = 3
"""Marks closer than this run into one another."""

EVENT_SIGNS: dict[EventKind, tuple[str, str]] = {
    "checkpoint": ("▴", "saved"),
    "resume": ("▸", "resumed"),
    "pause": ("‖", "paused"),
    "stop": ("■", "stopped"),
    "micro_batch": ("½", "less memory"),
    "bad_step": ("✗", "bad step"),
    "early_stop": ("◂", "early stop"),
    "best": ("★", "best"),
    "back": ("↶", "went back"),
}
"""Sign on the axis and word in the legend of what happened to a run; where two fall on one place, the later here is seen."""

EVENT_ORDER = "✗↶½◂★‖■▸▴"
"""The signs, what most needs a word in the legend first."""


@dataclass(frozen=True, eq=False)
class Series:
    """One curve. `name` and `short` are its words in the legend, the short one where there is little room. A level's short words
    stand on its line too."""

    name: str
    short: str
    kind: Kind
    role: str
    """Component class that colours it: `train`, `raw`, `validation` or `level`; `run0` and on where several runs are drawn."""
    xs: Sequence[float] | Floats
    ys: Sequence[float] | Floats
    sign: str = ""
    """One character that stands for its marks instead of the usual one."""
    dashes: tuple[int, int] | None = None
    """So many cells of a line are drawn, then so many left out, so that lines are told apart without colour."""


@dataclass(frozen=True, eq=False)
class Figure:
    """All that a plot shows. Two figures with the same `version` are the same."""

    series: tuple[Series, ...]
    version: object
    x_label: str = ""
    log_y: bool = False
    empty: str = "Nothing to plot yet."
    events: tuple[tuple[float, EventKind], ...] = ()
    """What happened, and where on the x axis it is marked."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Figure) and (self.version, self.empty) == (other.version, other.empty)

    def __hash__(self) -> int:
        return hash((self.version, self.empty))


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
    events: tuple[EventKind, ...] = ()
    """Kinds of events that are marked on the axis."""

    def column(self, x: float) -> int | None:
        """The column of an x; None where it is out of view."""
        if not self.low_x <= x <= self.high_x:
            return None
        return self.left + round((x - self.low_x) / (self.high_x - self.low_x) * (self.right - self.left))


MOST_RUNS = 5
"""Runs that can be told apart in one plot."""
RUN_ROLES = tuple(f"run{number}" for number in range(MOST_RUNS))
ROLES = ("raw", "train", "validation", "level", "axis", "cursor", "event", *RUN_ROLES)


def draw(figure: Figure, width: int, height: int) -> Drawn:
    """The figure as `height` lines of (text, role) pieces; the last two are the x axis and its labels."""
    points = [(series, *_points(series, width)) for series in sorted(figure.series, key=lambda series: series.kind != "level")]
    low_x, high_x, low_y, high_y = _limits([(series.xs, ys) for series, _, ys in points if series.kind != "level"])
    about = max(2, min(height * 2 // 5, MOST_Y_TICKS))
    y_ticks = log_ticks(low_y, high_y, about) if figure.log_y else nice_ticks(low_y, high_y, about)
    y_labels = [f"{tick:g}" for tick in y_ticks] if figure.log_y else tick_labels(y_ticks)
    margin = max(len(label) for label in y_labels)
    scale = _log if figure.log_y else float
    canvas = Canvas(height - 2, max(2, width - margin - 1), (low_x, scale(low_y)), (high_x, scale(high_y)))
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
            canvas.signs(xs, ys, LEGEND["marks"], series.role)
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
    """Writes the levels' names on their lines, by row; gives those for which there is no room."""
    missing = set()
    for row, name in names.items():
        line = _named(lines[row], name, left)
        if line is None:
            missing.add(name)
        else:
            lines[row] = line
    return missing


def _axis(drawn: Drawn, figure: Figure, margin: int) -> tuple[list[list[Piece]], tuple[EventKind, ...]]:
    """The x axis with what happened marked on it, its labels, and the kinds of what is marked."""
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
            continue  # saved again and again: every second one is enough to be told apart
        cells[column - margin] = (EVENT_SIGNS[kind][0], "event")
    kinds = tuple(kind for kind in EVENT_SIGNS if kind in seen.values())
    return [_joined(cells), [(label_row(places, labels, figure.x_label, width), "axis")]], kinds


def _beside(xs: list[float], ys: list[float], canvas: Canvas, taken: set[tuple[int, int]]) -> list[float]:
    """The places of a run's marks, each a column further on where another run's stands already; notes the cells it takes."""
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


def _joined(cells: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [("".join(sign for sign, _ in group), role) for role, group in groupby(cells, key=itemgetter(1))]


def _points(series: Series, width: int) -> tuple[list[float], list[float]]:
    """The points of a curve that so many columns can show."""
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
    """Every so-manieth point, counted from the last one, which is always kept."""
    every = -(-len(xs) // most) if xs else 1
    return xs[::-1][::every][::-1], ys[::-1][::every][::-1]


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
        & > .plot--event { color: $accent; text-style: bold; }
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
            self._drawn = draw(replace(figure, series=shown), width, max(4, height - 1))
            self._legend_line = legend(shown, self._drawn, width)
            self._key = key
        if y == 0:
            return self._legend_line
        lines = self._drawn.lines
        if y > len(lines):
            return []
        column = self._drawn.column(self.cursor) if self.cursor is not None else None
        return lines[y - 1] if column is None or y > len(lines) - 2 else with_cursor(lines[y - 1], column)

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        line = self._line(y)
        styles = {role: self.get_component_rich_style(f"plot--{role}") for role in {role for _, role in line}}
        return Strip([Segment(text, styles[role]) for text, role in line]).adjust_cell_length(self.size.width, base)


def legend(shown: Sequence[Series], drawn: Drawn, width: int) -> list[Piece]:
    """In words, shorter ones where they are too long; then without levels that carry their names on their lines, at last
    without what the most usual of the signs on the axis mean."""
    needed = [series for series in shown if series.kind != "level" or series.short not in drawn.named]
    signs: list[list[Piece]] = [
        [(EVENT_SIGNS[kind][0], "event"), (f" {EVENT_SIGNS[kind][1]}  ", "axis")] for kind in drawn.events
    ]
    events = [piece for sign in signs for piece in sign]
    ways: tuple[tuple[Sequence[Series], bool, list[Piece]], ...] = (
        (shown, True, events),
        (needed, True, events),
        (shown, False, events),
        (needed, False, events),
        (needed, False, []),
    )
    for which, long, more in ways:
        pieces = [piece for series in which for piece in _legend_entry(series, series.name if long else series.short)] + more
        if sum(len(text) for text, _ in pieces) <= width:
            break
    if not more:
        for sign in sorted(signs, key=lambda sign: EVENT_ORDER.index(sign[0][0])):
            if sum(len(text) for text, _ in pieces + sign) <= width:
                pieces += sign
    return pieces


def _legend_entry(series: Series, name: str) -> list[tuple[str, str]]:
    sample = series.sign or LEGEND[series.kind]
    if series.dashes:
        on, off = series.dashes
        sample = (("⠤" * on + " " * off) * 3)[: max(3, on + off + 1)].rstrip()
    return [(f"{sample} ", series.role), (f"{visible(name)}  ", "axis")]
