"""The canvas on which curves are drawn in braille, by plotext."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from lab.runs.run_history import Floats

PlotCell = tuple[str, str]
"""A character and its role."""

DOTS_A_COLUMN, DOTS_A_ROW = 2, 4
"""Braille dots of a cell, side by side and one above the other."""
_BRAILLE = 0x2800
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Unicode's bit of each dot, by row from the top and column."""


class BrailleCanvas:
    """`rows` × `columns` cells for points between two corners. Later drawings cover earlier ones.

    The only place that touches plotext, whose figure is global: draw one canvas to its end before the next is begun. Roles
    travel through plotext as numbers of its 256-colour palette, so that the real colours stay the theme's.
    """

    def __init__(self, rows: int, columns: int, low: tuple[float, float], high: tuple[float, float]) -> None:
        """`low` and `high` are the x and y of the dots at the bottom left and the top right."""
        import plotext

        self.rows, self.columns = rows, columns
        self._low, self._high = low, high
        self._across, self._up = DOTS_A_COLUMN * columns - 1, DOTS_A_ROW * rows - 1
        """Distances in dots from the left edge to the right, and from the bottom to the top."""
        self._names: dict[str, int] = {}
        self._bits = np.zeros((rows, columns), np.int64)
        self._dots_role = ""
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

    def row(self, y: float) -> int:
        """The row of cells with the dot of a y; a y above or below is in the first or the last row."""
        return self.row_and_dot(y)[0]

    def row_and_dot(self, y: float) -> tuple[int, int]:
        """The row, and in its cell the dot of a y, from the top."""
        place = round((y - self._low[1]) / (self._high[1] - self._low[1]) * self._up)
        return divmod(self._up - min(self._up, max(0, place)), DOTS_A_ROW)

    def shows(self, y: float) -> bool:
        """Check that a y is within the canvas, by half a dot."""
        return -0.5 <= (y - self._low[1]) / (self._high[1] - self._low[1]) * self._up <= self._up + 0.5

    def heights_of(self, ys: Floats) -> Floats:
        """Heights of some ys in cells above the canvas's lower edge."""
        dots = (np.asarray(ys, np.float64) - self._low[1]) / (self._high[1] - self._low[1]) * self._up
        return np.asarray((dots + 0.5) / DOTS_A_ROW)

    def column(self, x: float) -> int:
        """The column of cells with the dot of an x."""
        place = round((x - self._low[0]) / (self._high[0] - self._low[0]) * self._across)
        return min(self._across, max(0, place)) // DOTS_A_COLUMN

    def x_of(self, column: float) -> float:
        """The x in the middle of a column."""
        return self._low[0] + (DOTS_A_COLUMN * column + 0.5) / self._across * (self._high[0] - self._low[0])

    def dots(self, xs: Sequence[float], ys: Sequence[float], role: str) -> None:
        """A dot of braille for each point, behind the lines. Drawn here: plotext takes four times as long for thousands."""
        across = np.rint((np.asarray(xs) - self._low[0]) / (self._high[0] - self._low[0]) * self._across).astype(np.int64)
        up = np.rint((np.asarray(ys) - self._low[1]) / (self._high[1] - self._low[1]) * self._up).astype(np.int64)
        seen = (across >= 0) & (across <= self._across) & (up >= 0) & (up <= self._up)
        across, down = across[seen], self._up - up[seen]
        bits = _BITS[down % DOTS_A_ROW, across % DOTS_A_COLUMN]
        np.bitwise_or.at(self._bits, (down // DOTS_A_ROW, across // DOTS_A_COLUMN), bits)
        self._dots_role = role

    def line(self, xs: Sequence[float], ys: Sequence[float], role: str, dashes: tuple[int, int] | None = None) -> None:
        """Straight lines from point to point; `dashes` columns are drawn and left out in turn: what is behind shows there."""
        for part_xs, part_ys in [(xs, ys)] if dashes is None else self._parts(xs, ys, dashes):
            self._plotext.plot(part_xs, part_ys, marker="braille", color=self._names.setdefault(role, len(self._names)))

    def _parts(
        self, xs: Sequence[float], ys: Sequence[float], dashes: tuple[int, int]
    ) -> Iterator[tuple[Sequence[float], Sequence[float]]]:
        """The pieces of a line whose `xs` do not fall that are within the columns to be drawn."""
        drawn, left_out = dashes
        for first in range(0, self.columns, drawn + left_out):
            low, high = self.x_of(first - 0.5), self.x_of(first + drawn - 0.5)
            low, high = max(low, xs[0]), min(high, xs[-1])
            if low >= high:
                continue
            inside = slice(bisect_right(xs, low), bisect_left(xs, high))
            start, end = np.interp((low, high), xs, ys).tolist()
            yield [low, *xs[inside], high], [start, *ys[inside], end]

    def cells(self) -> list[list[PlotCell]]:
        """Every row as one character and its role per cell; blanks belong to the axis."""
        monitor = self._plotext.active().monitor
        monitor.build_plot()  # and not its text with colours, which takes a third as long again and would be parsed here
        matrix, names = monitor.matrix, [*self._names]
        cells = [
            [(sign, names[role] if isinstance(role, int) else "axis") for sign, role in zip(signs, roles, strict=True)]
            for signs, roles in zip(matrix.marker[::-1], matrix.fullground[::-1], strict=True)
        ]
        rows, columns = np.nonzero(self._bits)
        for row, column, bits in zip(rows.tolist(), columns.tolist(), self._bits[rows, columns].tolist(), strict=True):
            sign, role = cells[row][column]
            cells[row][column] = (chr(_BRAILLE | bits), self._dots_role) if sign == " " else (chr(ord(sign) | bits), role)
        return cells
