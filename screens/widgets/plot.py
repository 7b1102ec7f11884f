"""A line plot drawn by plotext, in the theme's colours and told apart without them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
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
MOST_Y_TICKS = 7
COLUMNS_PER_MARK = 3
"""Marks closer than this run into one another."""


@dataclass(frozen=True)
class Series:
    """One curve. `name` and `short` are its words in the legend, the short one where there is little room."""

    name: str
    short: str
    kind: Kind
    role: str
    """Component class that colours it: `train`, `raw`, `validation` or `level`."""
    xs: Sequence[float]
    ys: Sequence[float]


@dataclass(frozen=True)
class Figure:
    """All that a plot shows. Two figures with the same `version` are the same."""

    series: tuple[Series, ...]
    version: object
    x_label: str = ""
    log_y: bool = False
    empty: str = "Nothing to plot yet."


ROLES = ("raw", "train", "validation", "level", "axis")
_ESCAPE = re.compile("\x1b\\[([0-9;]*)m")


def draw(figure: Figure, width: int, height: int) -> list[list[tuple[str, str]]]:
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
    for series, xs, ys in points:
        if series.kind == "level":
            xs, ys = [low_x, high_x], [ys[0], ys[0]]
            if not low_y <= ys[0] <= high_y:
                continue
        graph = plotext.plot if series.kind in ("line", "level") else plotext.scatter
        graph(xs, ys, marker=MARKERS[series.kind], color=ROLES.index(series.role))
    plotext.xlim(low_x, high_x)
    plotext.ylim(low_y, high_y)
    if figure.log_y:
        plotext.yscale("log")
    x_ticks = nice_ticks(low_x, high_x, max(2, width // 14))
    plotext.xticks(x_ticks, [""] * len(x_ticks))
    about = max(2, min(height * 2 // 5, MOST_Y_TICKS))
    y_ticks = [tick for tick in nice_ticks(low_y, high_y, about) if tick > 0 or not figure.log_y]
    decimals = max(0, -math.floor(math.log10(y_ticks[1] - y_ticks[0]) + 1e-9)) if len(y_ticks) > 1 else 2
    plotext.yticks(y_ticks, [f"{tick:.{decimals}f}" for tick in y_ticks])
    lines = [_pieces(line) for line in plotext.build().rstrip("\n").split("\n")]
    axis = "".join(text for text, _ in lines[-2])
    places = [at for at, sign in enumerate(axis) if sign in "┬┼"]
    return [*lines[:-1], [(_label_row(places, [count(tick) for tick in x_ticks], figure.x_label, width), "axis")]]


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
    return low_x, max(high_x, low_x + 1), low_y - margin if low_y - margin > 0 else low_y, high_y + margin


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
        & > .plot--axis { color: $foreground 70%; }
    }
    """

    figure: reactive[Figure | None] = reactive(None)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._drawn: tuple[object, list[list[tuple[str, str]]]] = (None, [])

    def _lines(self) -> list[list[tuple[str, str]]]:
        width, height = self.size
        figure = self.figure
        if figure is None or not any(series.kind != "level" and len(series.xs) for series in figure.series):
            return [[(figure.empty if figure else "", "axis")]]
        key = (figure.version, figure.log_y, width, height)
        if self._drawn[0] != key:
            shown = tuple(series for series in figure.series if len(series.xs))
            drawn = draw(Figure(shown, figure.version, figure.x_label, figure.log_y), width, max(4, height - 1))
            self._drawn = (key, [self._legend(shown, width), *drawn])
        return self._drawn[1]

    def _legend(self, shown: Sequence[Series], width: int) -> list[tuple[str, str]]:
        for words in ([series.name for series in shown], [series.short for series in shown]):
            pieces = [piece for series, name in zip(shown, words, strict=True) for piece in _legend_entry(series, name)]
            if sum(len(text) for text, _ in pieces) <= width:
                break
        return pieces

    def render_line(self, y: int) -> Strip:
        lines = self._lines()
        base = self.rich_style
        if y >= len(lines):
            return Strip.blank(self.size.width, base)
        styles: dict[str, Style] = {role: self.get_component_rich_style(f"plot--{role}") for role in ROLES}
        return Strip([Segment(text, styles[role]) for text, role in lines[y]]).adjust_cell_length(self.size.width, base)


def _legend_entry(series: Series, name: str) -> list[tuple[str, str]]:
    return [(f"{LEGEND[series.kind]} ", series.role), (f"{name}  ", "axis")]
