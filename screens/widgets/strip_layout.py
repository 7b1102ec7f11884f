"""A vector on a grid of characters: upright bars about an axis while there is room, denser shades beyond."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lab.numbers import significant
from lab.views import Strip
from screens.widgets.glyphs import NEGATIVE_SHADES, POSITIVE_SHADES, column_glyphs, shade
from screens.widgets.layout import Laid, Line, Piece, Spot, element

STRIP_BAR_ROWS = 2
"""A vector is drawn as bars while it takes this many rows, and as denser shades beyond."""


@dataclass
class LaidStrip(Laid):
    strip: Strip
    values: NDArray[np.float32]
    per_row: int = 1
    as_bars: bool = True

    @cached_property
    def limit(self) -> float:
        return float(np.nanmax(np.abs(self.values))) if self.values.size else 0.0

    @cached_property
    def legend(self) -> str:
        if self.as_bars:
            return f"up + · down −, full = {significant(self.limit)}"
        return f"{POSITIVE_SHADES} + · {NEGATIVE_SHADES} −, full = {significant(self.limit)}"

    @property
    def per_value_row(self) -> int:
        return 2 if self.as_bars else 1

    def line(self, y: int) -> Line:
        if y == 0:
            return Line(((self.strip.title, "title"), ("  " + self.legend, "dim")))
        row, half = divmod(y - 1, self.per_value_row)
        part = self.values[row * self.per_row : (row + 1) * self.per_row]
        first = f"{row * self.per_row + 1:>4} " if half == 0 else " " * 5
        if not self.as_bars:
            return Line(self._shades(part), ((first, "dim"),))
        up, down = column_glyphs(part, self.limit)
        return Line(((up, "positive"),) if half == 0 else ((down, "negative"),), ((first, "dim"),))

    def _shades(self, part: NDArray[np.float32]) -> tuple[Piece, ...]:
        return tuple((shade(float(value), self.limit), "negative" if value < 0 else "positive") for value in part)

    def spot(self, row: int, column: int) -> Spot:
        index = row * self.per_row + column
        if index >= self.values.size:
            index = self.values.size - 1
            row, column = divmod(index, self.per_row)
        value = float(self.values[index])
        half = 1 if self.as_bars and value < 0 else 0
        line = 1 + row * self.per_value_row + half
        return Spot(line, 5 + column, 1, f"dimension {index + 1}", element(self.strip.ref, index), value)


def lay_strip(strip: Strip, width: int) -> LaidStrip:
    values = strip.values.numpy().reshape(-1)
    per_row = max(8, width - 5)
    if values.size > per_row:
        even = -(-values.size // -(-values.size // per_row))
        per_row = min(per_row, -(-even // 8) * 8)
    rows = max(1, -(-values.size // per_row))
    as_bars = rows <= STRIP_BAR_ROWS
    laid = LaidStrip(strip=strip, values=values, per_row=per_row, as_bars=as_bars)
    laid.height = 1 + rows * (2 if as_bars else 1)
    laid.width, laid.pinned = 5 + min(per_row, values.size), 5
    laid.rows, laid.columns = (rows, min(per_row, values.size)) if values.size else (0, 0)
    return laid
