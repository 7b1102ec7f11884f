"""Layout of a matrix, such as attention scores: numbers and shades if they fit, else shades."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from lab.core.number_format import fixed, significant
from lab.views.blocks import Matrix
from lab.views.number_refs import element, split
from screens.blocks.bars_and_shades import MASKED, NEGATIVE_SHADES, POSITIVE_SHADES, shade
from screens.blocks.block_layout import Laid, Line, Spot, heading, merged
from screens.colour.heat import ColouredPiece
from screens.widgets.text_fitting import fit

LABEL_WIDTH = 12
"""Longest label of a row before it is shortened."""
MARK = 2
"""Room for the mark of the selected row."""


def short(value: float) -> str:
    """`value` in few characters: two decimals below 10, fewer above."""
    size = abs(value)
    if value == 0:
        return "0"
    if size < 100:
        return fixed(value, 2 if size < 9.995 else 1)
    return fixed(value, 0) if size < 9_999.5 else significant(value, 1)


def ruler(
    columns: int, first: int, chosen: int | None, width: int, every: int, across: int = 1, stride: int = 1
) -> tuple[ColouredPiece, ...]:
    """Numbers from `first`, a `stride` apart, above columns of which `across` share a cell of `width` characters; the chosen one
    is marked ▾. Of `every` columns one has its number: a round one, or the next after it where that column is left out.
    """
    line = [" "] * (-(-columns // across) * width + 6)
    apart = every * stride
    for index in range(columns):
        here = first + index * stride
        if index and here // apart == (here - stride) // apart:
            continue
        number, place = str(here), index // across * width
        if index == 0 or line[place - 1] == " ":
            line[place : place + len(number)] = number
    if chosen is None:
        return (("".join(line), "head"),)
    place = chosen // across * width
    mark = f"▾{first + chosen * stride} "
    before = "".join(line[:place])
    if before and before[-1] != " ":
        before = before.rstrip("0123456789").ljust(place)
    after = "".join(line[place + len(mark) :])
    tail = after.lstrip("0123456789")
    return ((before, "head"), (mark, "selected"), (tail.rjust(len(after)), "head"))


@dataclass
class LaidMatrix(Laid):
    matrix: Matrix
    values: NDArray[np.float32]
    """(rows, columns); NaN where masked."""
    room: int
    """Width of the view in columns."""
    label_width: int = 1
    cell_width: int = 1
    numbers: bool = False
    limit: float = 0.0
    """The magnitude of the darkest shade."""

    def scale_bar(self) -> list[ColouredPiece]:
        """The scale in colours, its ends in numbers; nothing where it is glyphs."""
        return []

    @cached_property
    def signed(self) -> bool:
        return bool((self.values < 0).any())

    @cached_property
    def first(self) -> int:
        """Number of the first column, from 1: by its name a matrix may be a window of a larger one."""
        places = split(self.matrix.ref)[1]
        return int(places[-1].rstrip(":") or 0) + 1 if places and places[-1].endswith(":") else 1

    @cached_property
    def legend(self) -> str:
        parts = [self.matrix.legend] if self.matrix.legend else []
        magnitude = "|x| " if self.signed and self.numbers else ""
        parts.append(f"{POSITIVE_SHADES} {magnitude}up to {significant(self.limit)}")
        if self.signed and not self.numbers:
            parts.append(f"{NEGATIVE_SHADES} down to {significant(-self.limit)}")
        if bool(np.isnan(self.values).any()):
            parts.append(f"{MASKED} masked")
        return "   ".join(parts)

    @cached_property
    def header(self) -> Line:
        """Labels of the columns, or numbers if they are too narrow; the selected one is marked ▾."""
        chosen = self.matrix.selected[1] if self.matrix.selected else None
        pinned = ((" " * self.pinned, ""),)
        if self.numbers:
            pieces = []
            for index, label in enumerate(self.matrix.column_labels):
                marked = ("▾" if index == chosen else "") + label.strip()
                pieces.append((fit(marked, self.cell_width - 1, "right") + " ", "selected" if index == chosen else "head"))
            return Line(tuple(pieces), pinned)
        every = 5 if self.cell_width == 2 else 10
        return Line(ruler(self.columns, self.first, chosen, self.cell_width, every, stride=self.matrix.stride), pinned)

    @cached_property
    def head(self) -> list[Line]:
        """Title, legend and the labels of the columns."""
        return [*heading(self.matrix.title, self.legend, self.room, self.scale_bar()), self.header]

    def line(self, y: int) -> Line:
        if y < len(self.head):
            return self.head[y]
        row = y - len(self.head)
        chosen = self.matrix.selected
        in_row = chosen is not None and row == chosen[0]
        label = fit(self.matrix.row_labels[row].rstrip(), self.label_width)
        pinned = (("▸ " if in_row else "  ", "mark"), (label + " ", "selected" if in_row else "head"))
        return Line(merged(self._cells(row, chosen[1] if chosen and in_row else None)), pinned)

    def _cells(self, row: int, chosen: int | None) -> list[ColouredPiece]:
        pieces: list[ColouredPiece] = []
        for column, value in enumerate(self.values[row].tolist()):
            # The number has its sign; a minus as shade before it would read as a second one.
            glyph = shade(abs(value) if self.numbers else value, self.limit)
            kind = "masked" if value != value else "negative" if value < 0 else "positive"
            if self.numbers:
                text = "" if value != value else short(value)
                pieces.append((glyph if text else fit(MASKED, self.cell_width - 1, "center"), kind))
                if text:
                    number = fit(text, self.cell_width - 2, "right")
                    pieces.append((number, "selected" if column == chosen else "cell"))
                pieces.append((" ", ""))
            elif kind == "masked":
                pieces.append((glyph.ljust(self.cell_width), kind))
            else:
                pieces.append((glyph * self.cell_width, kind))
        return pieces

    def spot(self, row: int, column: int) -> Spot:
        value = float(self.values[row, column])
        masked = math.isnan(value)
        label = f"{self.matrix.row_labels[row].strip()} → {self.matrix.column_labels[column].strip()}"
        width = self.cell_width - 1 if self.numbers else self.cell_width
        start = self.pinned + column * self.cell_width
        return Spot(
            len(self.head) + row, start, width, label, element(self.matrix.ref, row, column), None if masked else value, masked
        )

    def start(self) -> tuple[int, int]:
        return self.matrix.selected or (0, 0)


def lay_matrix(matrix: Matrix, width: int, beside: Matrix | None = None) -> LaidMatrix:
    """Numbers if every column has room for one, else two character cells a number, else one.

    The matrix `beside` it is drawn likewise, and on the same scale.
    """
    values = matrix.values.numpy()
    rows, columns = values.shape
    every = [matrix] if beside is None else [matrix, beside]
    widest = max(each.values.shape[1] for each in every)
    seen = np.concatenate([each.values.numpy().reshape(-1) for each in every])
    seen = seen[np.isfinite(seen)]
    labels = [label for each in every for label in each.row_labels]
    label_width = min(LABEL_WIDTH, max((cell_len(label.rstrip()) for label in labels), default=0))
    pinned = MARK + label_width + 1
    room = max(1, width - pinned)
    cell_width, numbers = (2 if 2 * widest <= room else 1), False
    if widest * 6 <= room:
        texts = [short(value) for value in seen.tolist()]
        longest = max((len(text) for text in texts), default=1)
        if widest * (longest + 2) <= room:
            cell_width, numbers = max(6, min(longest + 2, room // widest)), True
    laid = LaidMatrix(matrix, values, width, label_width, cell_width, numbers, float(np.abs(seen).max()) if seen.size else 0.0)
    laid.pinned, laid.rows, laid.columns = pinned, rows, columns
    laid.height, laid.width = len(laid.head) + rows, pinned + columns * cell_width
    return laid
