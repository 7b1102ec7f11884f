"""Layout of a vector: vertical bars about an axis if they fit, else shades."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lab.core.number_format import significant
from lab.views.blocks import Strip
from lab.views.number_refs import element
from screens.blocks.bars_and_shades import NEGATIVE_SHADES, POSITIVE_SHADES, column_glyphs, shade
from screens.blocks.block_layout import Laid, Line, Spot, heading, merged
from screens.colour.heat import ColouredPiece

STRIP_BAR_ROWS = 2
"""Most rows of bars; longer vectors are drawn as shades."""


MARGIN = 5
"""Room for the number of a row's first value."""
WIDEST = 3
"""Most character cells of one bar, its gap included."""


@dataclass
class LaidStrip(Laid):
    strip: Strip
    values: NDArray[np.float32]
    room: int
    """Width of the view in columns."""
    per_row: int = 1
    each: int = 1
    """Character cells of one value."""
    as_bars: bool = True
    limit: float = 0.0
    """The magnitude of a full bar."""

    @cached_property
    def head(self) -> list[Line]:
        shades = "" if self.as_bars else f"{POSITIVE_SHADES} positive, {NEGATIVE_SHADES} negative, "
        return heading(self.strip.title, f"{shades}scale ±{significant(self.limit)}", self.room)

    @property
    def lines_each(self) -> int:
        """Lines of one row of values."""
        return 2 if self.as_bars else 1

    def line(self, y: int) -> Line:
        if y < len(self.head):
            return self.head[y]
        row, half = divmod(y - len(self.head), self.lines_each)
        part = self.values[row * self.per_row : (row + 1) * self.per_row]
        first = f"{row * self.per_row + 1:>{MARGIN - 1}} " if half == 0 else " " * MARGIN
        if not self.as_bars:
            return Line(self._shades(part), ((first, "dim"),))
        glyphs = column_glyphs(part, self.limit)[half]
        drawn = "".join(glyph * max(1, self.each - 1) + " " * (self.each > 1) for glyph in glyphs)
        return Line(((drawn, "negative" if half else "positive"),), ((first, "dim"),))

    def _shades(self, part: NDArray[np.float32]) -> tuple[ColouredPiece, ...]:
        return merged((shade(value, self.limit), "negative" if value < 0 else "positive") for value in part.tolist())

    def spot(self, row: int, column: int) -> Spot:
        index = min(row * self.per_row + column, self.values.size - 1)
        row, column = divmod(index, self.per_row)
        value = float(self.values[index])
        line = len(self.head) + row * self.lines_each + (1 if self.as_bars and value < 0 else 0)
        name = element(self.strip.ref, index)
        return Spot(line, MARGIN + column * self.each, max(1, self.each - 1), f"{index + 1} of {self.values.size}", name, value)


def _limit(strip: Strip) -> float:
    values = strip.values.numpy()
    return float(np.nanmax(np.abs(values))) if values.size else 0.0


def lay_strip(strip: Strip, width: int, beside: Strip | None = None) -> LaidStrip:
    """Lay out bars or shades, on the scale of the strip `beside` it too."""
    values = strip.values.numpy().reshape(-1)
    limit = max((_limit(each) for each in (strip, beside) if each is not None), default=0.0)
    room = max(8, width - MARGIN)
    each = max(1, min(WIDEST, room // max(1, values.size)))
    per_row = room // each
    if values.size > per_row:
        even = -(-values.size // -(-values.size // per_row))
        per_row = min(per_row, -(-even // 8) * 8)
    rows = max(1, -(-values.size // per_row))
    as_bars = rows <= STRIP_BAR_ROWS
    laid = LaidStrip(strip, values, width, per_row, each, as_bars, limit)
    laid.height = len(laid.head) + rows * laid.lines_each
    laid.width, laid.pinned = MARGIN + min(per_row, values.size) * each, MARGIN
    laid.rows, laid.columns = (rows, min(per_row, values.size)) if values.size else (0, 0)
    return laid
