"""Layout of a vector, or of several stacked: vertical bars about an axis, shades or, in colours, half blocks."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from lab.core.colour_scales import Scale
from lab.core.number_format import significant
from lab.views.blocks import StackedStrips, Strip
from lab.views.number_refs import element
from screens.blocks.block_layout import (
    NEGATIVE_SHADES,
    POSITIVE_SHADES,
    CellPart,
    Laid,
    Line,
    Spot,
    column_glyphs,
    heading,
    merged,
    scale_bar,
    shade,
    shade_words,
)
from screens.blocks.matrix_layout import ruler
from screens.colour import MASKED_LEVEL, ColouredPiece, half_block_cells, heat_cells, levels_of
from screens.widgets.text_fitting import fit

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
    paints: bool = False
    """True for half blocks instead of shades: two rows of values to a line."""

    @cached_property
    def head(self) -> list[Line]:
        if self.is_painted:
            return heading(self.strip.title, "", self.room, scale_bar(self.scale, self.limit, self.room))
        is_signed = not self.strip.never_negative
        words = f"bars: {significant(-self.limit) if is_signed else 0} to {significant(self.limit)}"
        if not self.as_bars:
            words = shade_words(POSITIVE_SHADES, NEGATIVE_SHADES if is_signed else "", self.limit)
        return heading(self.strip.title, words, self.room)

    @property
    def scale(self) -> Scale:
        return "sequential" if self.strip.never_negative else "diverging"

    @property
    def is_painted(self) -> bool:
        return self.paints and not self.as_bars

    @property
    def lines_each(self) -> int:
        """Lines of one row of values."""
        return 2 if self.as_bars else 1

    def below(self, y: int) -> Line:
        if self.is_painted:
            return self._half_blocks(2 * y)
        row, half = divmod(y, self.lines_each)
        part = self.values[row * self.per_row : (row + 1) * self.per_row]
        first = f"{row * self.per_row + self.strip.first:>{MARGIN - 1}} " if half == 0 else " " * MARGIN
        if not self.as_bars:
            return Line(self._shades(part), ((first, "dim"),))
        glyphs = column_glyphs(part, self.limit)[half]
        drawn = "".join(glyph * max(1, self.each - 1) + " " * (self.each > 1) for glyph in glyphs)
        return Line(((drawn, "negative" if half else "positive"),), ((first, "dim"),))

    def _half_blocks(self, row: int) -> Line:
        levels = levels_of(self.values[row * self.per_row : (row + 2) * self.per_row] / (self.limit or 1.0))
        above, below = levels[: self.per_row], levels[self.per_row :]
        below = np.pad(below, (0, len(above) - len(below)), constant_values=MASKED_LEVEL)
        return Line(
            tuple(half_block_cells(self.scale, above, below, self.each)),
            ((f"{row * self.per_row + self.strip.first:>{MARGIN - 1}} ", "dim"),),
        )

    def _shades(self, part: NDArray[np.float32]) -> tuple[ColouredPiece, ...]:
        return merged((shade(value, self.limit), "negative" if value < 0 else "positive") for value in part.tolist())

    def spot(self, row: int, column: int) -> Spot:
        index = min(row * self.per_row + column, self.values.size - 1)
        row, column = divmod(index, self.per_row)
        value = float(self.values[index])
        label, name, start = (
            f"{index + self.strip.first} of {self.values.size + self.strip.first - 1}",
            element(self.strip.ref, index),
            MARGIN + column * self.each,
        )
        if self.is_painted:
            part: CellPart = "lower" if row % 2 else "upper"
            return Spot(len(self.head) + row // 2, start, self.each, label, name, value, part=part)
        line = len(self.head) + row * self.lines_each + (1 if self.as_bars and value < 0 else 0)
        return Spot(line, start, max(1, self.each - 1), label, name, value)

    def at(self, line: int, x: int, now: tuple[int, int] | None = None) -> tuple[int, int] | None:
        """The value at a place; in a half block the lower one if the upper one is `now`."""
        lines = 2 if self.as_bars else 1
        row, column = (line - len(self.head)) // lines, (x - MARGIN) // self.each
        if self.is_painted:
            row = 2 * row + (now == (2 * row, column) and 2 * row + 1 < self.rows)
        is_here = line >= len(self.head) and x >= MARGIN and column < self.columns and 0 <= row < self.rows
        return (row, column) if is_here and row * self.per_row + column < self.values.size else None


def largest(*shown: Strip | StackedStrips | None) -> float:
    """The largest magnitude among vectors that are on one scale."""
    return max(float(np.nanmax(np.abs(each.values.numpy()), initial=0)) for each in shown if each is not None)


def values_per_row(size: int, room: int) -> tuple[int, int]:
    """Values in a row of `room` characters, rows evenly filled, and characters of each."""
    each = max(1, min(WIDEST, room // max(1, size)))
    per_row = room // each
    if size > per_row:
        even = -(-size // -(-size // per_row))
        per_row = min(per_row, -(-even // 8) * 8)
    return per_row, each


def lay_strip(strip: Strip, width: int, beside: Strip | None = None, paints: bool = False) -> LaidStrip:
    """Lay out bars, or shades, on the scale of the strip `beside` it too."""
    values = strip.values.numpy().reshape(-1)
    limit = largest(strip, beside)
    per_row, each = values_per_row(values.size, max(8, width - MARGIN))
    rows = max(1, -(-values.size // per_row))
    as_bars = rows <= STRIP_BAR_ROWS
    laid = LaidStrip(strip, values, width, per_row, each, as_bars, limit, paints)
    laid.height = len(laid.head) + (-(-rows // 2) if laid.is_painted else rows * laid.lines_each)
    laid.width, laid.pinned = MARGIN + min(per_row, values.size) * each, MARGIN
    laid.rows, laid.columns = (rows, min(per_row, values.size)) if values.size else (0, 0)
    return laid


LABEL_SHARE = 0.3
"""Fraction of the width for labels before they are shortened."""


@dataclass
class LaidStackedStrips(Laid):
    strips: StackedStrips
    values: NDArray[np.float32]
    """(vectors, size)"""
    room: int
    """Width of the view in columns."""
    per_row: int
    """Values of a vector in one line."""
    each: int
    """Character cells of one value."""
    limit: float
    """The magnitude of the strongest shade."""
    paints: bool = False

    @cached_property
    def head(self) -> list[Line]:
        if self.paints:
            return heading(self.strips.title, self.strips.legend, self.room, scale_bar("diverging", self.limit, self.room))
        shades = shade_words(POSITIVE_SHADES, NEGATIVE_SHADES, self.limit)
        return heading(self.strips.title, "   ".join(part for part in (self.strips.legend, shades) if part), self.room)

    @property
    def lines_each(self) -> int:
        """Lines of one piece of all vectors: the numbers of its columns, then a line for each vector."""
        return 1 + len(self.values)

    def below(self, y: int) -> Line:
        piece, row = divmod(y, self.lines_each)
        first = piece * self.per_row
        part = self.values[:, first : first + self.per_row]
        if row == 0:
            numbers = ruler(part.shape[1], first + 1, None, self.each, 10)
            text = "".join(text for text, _ in numbers)[: self.room - self.pinned]
            return Line(((text, "head"),), ((" " * self.pinned, ""),))
        pinned = ((fit(self.strips.labels[row - 1], self.pinned - 1) + " ", "head"),)
        if self.paints:
            return Line(tuple(heat_cells("diverging", levels_of(part[row - 1] / (self.limit or 1.0)), self.each)), pinned)
        shades = (
            (shade(value, self.limit) * self.each, "negative" if value < 0 else "positive") for value in part[row - 1].tolist()
        )
        return Line(merged(shades), pinned)

    def spot(self, row: int, column: int) -> Spot:
        piece, place = divmod(column, self.per_row)
        line = len(self.head) + piece * self.lines_each + 1 + row
        label = f"{self.strips.labels[row]} · {column + 1} of {self.columns}"
        name, value = element(self.strips.refs[row], column), float(self.values[row, column])
        return Spot(line, self.pinned + place * self.each, self.each, label, name, value, part="cell" if self.paints else "text")

    def start(self) -> tuple[int, int]:
        """The largest number of the last vector."""
        return (self.rows - 1, int(np.abs(self.values[-1]).argmax())) if self.values.size else (0, 0)

    def at(self, line: int, x: int, now: tuple[int, int] | None = None) -> tuple[int, int] | None:
        piece, row = divmod(line - len(self.head), self.lines_each)
        place = (x - self.pinned) // self.each
        column = piece * self.per_row + place
        is_here = row > 0 and piece >= 0 and 0 <= place < self.per_row and column < self.columns
        return (row - 1, column) if is_here else None


def lay_stacked_strips(
    strips: StackedStrips, width: int, beside: StackedStrips | None = None, paints: bool = False
) -> LaidStackedStrips:
    """Lay out the vectors, on the scale of those `beside` them too."""
    values = strips.values.numpy()
    labels = [label for each in (strips, beside) if each is not None for label in each.labels]
    pinned = min(max(map(cell_len, labels), default=0), int(width * LABEL_SHARE)) + 1
    per_row, each = values_per_row(values.shape[1], max(8, width - pinned))
    laid = LaidStackedStrips(strips, values, width, per_row, each, largest(strips, beside), paints)
    laid.pinned, (laid.rows, laid.columns) = pinned, values.shape
    laid.height = len(laid.head) + -(-laid.columns // per_row) * laid.lines_each
    laid.width = pinned + min(per_row, laid.columns) * each
    return laid
