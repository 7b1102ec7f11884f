"""Layout of vectors under each other on one scale, such as the terms of a sum: a line each, in several pieces where long."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from lab.core.number_format import significant
from lab.views.blocks import StackedStrips
from lab.views.number_refs import element
from screens.blocks.bars_and_shades import NEGATIVE_SHADES, POSITIVE_SHADES, shade
from screens.blocks.block_layout import Laid, Line, Spot, heading, merged, scale_bar
from screens.blocks.matrix_layout import ruler
from screens.blocks.strip_layout import values_per_row
from screens.colour.heat import heat_cells, levels_of
from screens.widgets.text_fitting import fit

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
        shades = f"{POSITIVE_SHADES} positive, {NEGATIVE_SHADES} negative, scale ±{significant(self.limit)}"
        return heading(self.strips.title, "   ".join(part for part in (self.strips.legend, shades) if part), self.room)

    @property
    def lines_each(self) -> int:
        """Lines of one piece of all vectors: the numbers of its columns, then a line for each vector."""
        return 1 + len(self.values)

    def line(self, y: int) -> Line:
        if y < len(self.head):
            return self.head[y]
        piece, row = divmod(y - len(self.head), self.lines_each)
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
    limits = (float(np.nanmax(np.abs(each.values.numpy()), initial=0)) for each in (strips, beside) if each is not None)
    per_row, each = values_per_row(values.shape[1], max(8, width - pinned))
    laid = LaidStackedStrips(strips, values, width, per_row, each, max(limits), paints)
    laid.pinned, (laid.rows, laid.columns) = pinned, values.shape
    laid.height = len(laid.head) + -(-laid.columns // per_row) * laid.lines_each
    laid.width = pinned + min(per_row, laid.columns) * each
    return laid
