"""The canvas on which curves are drawn in braille, by plotext."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from screens.widgets.text_fitting import Piece

_ESCAPE = re.compile("\x1b\\[([0-9;]*)m")


class BrailleCanvas:
    """`rows` × `columns` cells for points between two corners. Later drawings cover earlier ones.

    The only place that touches plotext, whose figure is global: draw one canvas to its end before the next is begun. Roles
    travel through plotext as numbers of its 256-colour palette, so that the real colours stay the theme's.
    """

    def __init__(self, rows: int, columns: int, low: tuple[float, float], high: tuple[float, float]) -> None:
        """`low` and `high` are the x and y in the middle of the cells at the bottom left and the top right."""
        import plotext

        self.rows, self.columns = rows, columns
        self._low, self._high = low, high
        self._names: list[str] = []
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

    def column(self, x: float) -> int:
        """The column of cells in which a sign at an x is drawn."""
        return round((x - self._low[0]) / (self._high[0] - self._low[0]) * (self.columns - 1))

    def x_of(self, column: int) -> float:
        """The x in the middle of a column."""
        return self._low[0] + column * (self._high[0] - self._low[0]) / max(1, self.columns - 1)

    def dots(self, xs: Sequence[float], ys: Sequence[float], role: str) -> None:
        """A dot of braille for each point."""
        self._plotext.scatter(xs, ys, marker="braille", color=self._color(role))

    def line(self, xs: Sequence[float], ys: Sequence[float], role: str, dashes: tuple[int, int] | None = None) -> None:
        """Straight lines from point to point; `dashes` columns are drawn and left out in turn: what is behind shows there."""
        for part_xs, part_ys in [(xs, ys)] if dashes is None else self._parts(xs, ys, dashes):
            self._plotext.plot(part_xs, part_ys, marker="braille", color=self._color(role))

    def _parts(
        self, xs: Sequence[float], ys: Sequence[float], dashes: tuple[int, int]
    ) -> Iterator[tuple[Sequence[float], Sequence[float]]]:
        """The pieces of a line whose `xs` do not fall that are within the columns to be drawn."""
        drawn, left_out = dashes
        column = (self._high[0] - self._low[0]) / max(1, self.columns - 1)
        for first in range(0, self.columns, drawn + left_out):
            low, high = self._low[0] + (first - 0.5) * column, self._low[0] + (first + drawn - 0.5) * column
            low, high = max(low, xs[0]), min(high, xs[-1])
            if low >= high:
                continue
            inside = slice(bisect_right(xs, low), bisect_left(xs, high))
            start, end = np.interp((low, high), xs, ys).tolist()
            yield [low, *xs[inside], high], [start, *ys[inside], end]

    def signs(self, xs: Sequence[float], ys: Sequence[float], sign: str, role: str) -> None:
        """A character for each point."""
        self._plotext.scatter(xs, ys, marker=sign, color=self._color(role))

    def level(self, y: float, sign: str, role: str) -> None:
        """A line of characters from side to side."""
        self._plotext.plot([self._low[0], self._high[0]], [y, y], marker=sign, color=self._color(role))

    def lines(self) -> list[list[Piece]]:
        """Every row as pieces of one role each; blanks belong to the axis."""
        return [self._pieces(line) for line in self._plotext.build().rstrip("\n").split("\n")]

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
