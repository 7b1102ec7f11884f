"""The area in which curves are drawn, by plotext, and the numbers along its axes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from lab.curves import nice_ticks

Piece = tuple[str, str]
"""Text and its role, which the widget turns into a style."""

BRAILLE = ("\u2800", "\u28ff")
SMALLEST_ON_LOG = 1e-6
"""A loss of zero has no logarithm; this is far below any that matters."""
_ESCAPE = re.compile("\x1b\\[([0-9;]*)m")


class Canvas:
    """`rows` × `columns` cells for points between two corners. What is drawn later stands before what was drawn earlier.

    The only place that touches plotext, whose figure is global: draw one canvas to its end before the next is begun. Roles
    travel through plotext as numbers of its 256-colour palette, so that the real colours stay the theme's.
    """

    def __init__(self, rows: int, columns: int, low: tuple[float, float], high: tuple[float, float]) -> None:
        """`low` and `high` are the x and y in the middle of the cells at the bottom left and the top right."""
        import plotext

        self.rows, self.columns = rows, columns
        self._low, self._high = low, high
        self._names: list[str] = []
        self._dashes: dict[str, tuple[int, int]] = {}
        self._plotext = plotext
        plotext.clear_figure()
        plotext.theme("clear")
        plotext.limit_size(False, False)
        plotext.plot_size(columns, rows)
        plotext.xaxes(False, False)
        plotext.yaxes(False, False)
        plotext.xfrequency(0)
        plotext.yfrequency(0)
        plotext.xlim(low[0], high[0])
        plotext.ylim(low[1], high[1])

    def _color(self, role: str) -> int:
        if role not in self._names:
            self._names.append(role)
        return self._names.index(role)

    def row(self, y: float) -> int:
        """The row of cells in which plotext draws a sign at a y."""
        return self.rows - 1 - round((y - self._low[1]) / (self._high[1] - self._low[1]) * (self.rows - 1))

    def dots(self, xs: Sequence[float], ys: Sequence[float], role: str) -> None:
        """A dot of braille for each point."""
        self._plotext.scatter(xs, ys, marker="braille", color=self._color(role))

    def line(self, xs: Sequence[float], ys: Sequence[float], role: str, dashes: tuple[int, int] | None = None) -> None:
        """Straight lines from point to point; `dashes` cells are drawn and left out in turn."""
        self._plotext.plot(xs, ys, marker="braille", color=self._color(role))
        if dashes is not None:
            self._dashes[role] = dashes

    def signs(self, xs: Sequence[float], ys: Sequence[float], sign: str, role: str) -> None:
        """A character for each point."""
        self._plotext.scatter(xs, ys, marker=sign, color=self._color(role))

    def level(self, y: float, sign: str, role: str) -> None:
        """A line of characters from side to side."""
        self._plotext.plot([self._low[0], self._high[0]], [y, y], marker=sign, color=self._color(role))

    def lines(self) -> list[list[Piece]]:
        """Every row as pieces of one role each; blanks belong to the axis."""
        lines = [self._pieces(line) for line in self._plotext.build().rstrip("\n").split("\n")]
        if self._dashes:
            lines = [self._dashed(line, row) for row, line in enumerate(lines)]
        return lines

    def _pieces(self, line: str) -> list[Piece]:
        """A line of plotext's output; text without a colour is the axes'."""
        pieces: list[Piece] = []
        role, at = "axis", 0
        for escape in _ESCAPE.finditer(line):
            if escape.start() > at:
                pieces.append((line[at : escape.start()], role))
            codes = escape.group(1).split(";")
            role = self._names[int(codes[2])] if codes[:2] == ["38", "5"] else "axis"
            at = escape.end()
        if at < len(line):
            pieces.append((line[at:], role))
        return pieces

    def _dashed(self, line: list[Piece], row: int) -> list[Piece]:
        """The line with gaps in its dashed curves; shifted from row to row, so that steep ones have gaps too."""
        cells = [(sign, role) for text, role in line for sign in text]
        for at, (sign, role) in enumerate(cells):
            if role in self._dashes and BRAILLE[0] <= sign <= BRAILLE[1]:
                drawn, left_out = self._dashes[role]
                if (at + 2 * row) % (drawn + left_out) >= drawn:
                    cells[at] = (" ", role)
        return [("".join(sign for sign, _ in group), role) for role, group in groupby(cells, key=itemgetter(1))]


def tick_labels(ticks: list[float]) -> list[str]:
    """Ticks with as many decimals as tell them apart."""
    apart = ticks[1] - ticks[0] if len(ticks) > 1 else abs(ticks[0]) / 100 or 1.0 if ticks else 1.0
    decimals = max(0, -math.floor(math.log10(apart) + 1e-9))
    return [f"{tick:.{decimals}f}" for tick in ticks]


def log_ticks(low: float, high: float, about: int) -> list[float]:
    """1, 2 and 5 times powers of ten, or the powers alone where those are many; round numbers where there is at most one."""
    low = max(low, SMALLEST_ON_LOG)
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    for multiples in ((1, 2, 5), (1,)):
        ticks = [m * 10.0**power for power in powers for m in multiples if low <= m * 10.0**power <= high]
        if len(ticks) <= about:
            break
    return ticks if len(ticks) > 1 else nice_ticks(low, high, about)


def label_row(places: list[int], labels: list[str], unit: str, width: int) -> str:
    """The labels under the marks of the axis, the first and the last first; one that would touch another is left out."""
    row = [" "] * width
    pairs = list(zip(places, labels, strict=False))
    if pairs and unit:
        pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]} {unit}")
    for place, label in [*pairs[-1:], *pairs[:-1]]:
        start = max(0, min(place - len(label) // 2, width - len(label)))
        if all(sign == " " for sign in row[max(0, start - 1) : start + len(label) + 1]):
            row[start : start + len(label)] = label
    return "".join(row)
