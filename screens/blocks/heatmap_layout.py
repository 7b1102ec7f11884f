"""Layout of a matrix as a heatmap: a cell's paper stands for its number, which is written on it where it is wide enough.

Narrower cells are halves of a half block, two rows to a line. Where the columns still do not fit, a half stands for the largest
of several numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from lab.core.colour_scales import Scale
from lab.views.blocks import Matrix
from lab.views.number_refs import TIMES, split
from screens.blocks.block_layout import MASKED, CellPart, Line, Spot, blank_if_masked, merged, scale_bar
from screens.blocks.matrix_layout import LABEL_WIDTH, MARK, LaidMatrix, decimal_formats, ruler, scale_and_limit, share_formats
from screens.colour import MASKED_LEVEL, ColouredPiece, Heat, half_block_cells, heat_cells, levels_of
from screens.widgets.text_fitting import fit

WHOLE_ROWS = 24
"""Most rows that take a line each where no number fits; more are drawn as half blocks."""
WIDEST = 8
"""Most character cells of a number."""


@dataclass
class LaidHeatmap(LaidMatrix):
    scale: Scale = "sequential"
    rows_each: int = 1
    """Rows in one line: 2 in half blocks."""
    pooled: tuple[int, int] = (1, 1)
    """Rows and columns of which a cell shows the largest magnitude."""
    levels: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    """The colour of each cell, after pooling."""

    def scale_bar(self) -> list[ColouredPiece]:
        return scale_bar(self.scale, self.limit, self.room)

    @cached_property
    def legend(self) -> str:
        parts = [self.matrix.legend] if self.matrix.legend else []
        if self.format is not None and self.format.words:
            parts.append(self.format.words)
        if self.pooled != (1, 1):
            size = "largest |x|" if self.scale == "diverging" else "largest"
            parts.append(f"each half block the {size} of {self.pooled[0]}×{self.pooled[1]}")
        if bool(np.isnan(self.values).any()):
            parts.append(f"{MASKED} {self.matrix.masked}" if self.rows_each == 1 else f"blank: {self.matrix.masked}")
        return "   ".join(parts)

    @cached_property
    def header(self) -> Line:
        """Labels of the columns where they have room for one; else numbers, of each column or of some."""
        chosen = self.matrix.selected[1] if self.matrix.selected else None
        if self.cell_width < 3:
            across = self.pooled[1]
            every = 5 if self.cell_width == 2 else 10 * across
            numbers = ruler(self.columns, self.first, chosen, self.cell_width, every, across, self.matrix.stride)
            return Line(self._fitted(numbers), self._corner)
        return Line(merged(self._column_names()), self._corner)

    @property
    def _corner(self) -> tuple[ColouredPiece, ...]:
        return ((" " * self.pinned, ""),)

    def _fitted(self, pieces: Sequence[ColouredPiece]) -> tuple[ColouredPiece, ...]:
        """The pieces cut at the width of the view."""
        left, found = self.room - self.pinned, []
        for text, kind in pieces:
            found.append((text[:left], kind))
            left = max(0, left - len(text))
        return tuple(found)

    def below(self, y: int) -> Line:
        first = y * self.rows_each
        here = range(first, min(first + self.rows_each, len(self.levels)))
        return Line(merged(self._cells(first, None)), self._label(here))

    def _label(self, here: range) -> tuple[ColouredPiece, ...]:
        """The mark and the label of a line: of its selected row, else of its first."""
        down = self.pooled[0]
        chosen = self.matrix.selected[0] if self.matrix.selected else -1
        marked = chosen // down in here
        row = chosen if marked else here[0] * down
        label = fit(self.matrix.row_labels[row].rstrip(), self.label_width)
        mark = "▸ " if self.rows_each == 1 else "▸▀" if chosen // down == here[0] else "▸▄"
        return ((mark if marked else "  ", "mark"), (label + " ", "selected" if marked else "head"))

    def _cells(self, row: int, chosen: int | None) -> list[ColouredPiece]:
        levels = self.levels[row]
        if self.rows_each > 1:
            below = self.levels[row + 1] if row + 1 < len(self.levels) else None
            return [blank_if_masked(piece) for piece in half_block_cells(self.scale, levels, below, self.cell_width)]
        if self.format is None:
            return [_masked_cells(piece, self.cell_width) for piece in heat_cells(self.scale, levels, self.cell_width)]
        at = self.matrix.selected
        pieces: list[ColouredPiece] = []
        for column, (level, text) in enumerate(zip(levels.tolist(), self.format.texts[row], strict=True)):
            if level == MASKED_LEVEL:
                pieces.append((fit(MASKED, self.cell_width - 1, "right") + " ", "masked"))
            else:
                role = "selected" if at == (row, column) else ""
                space = " " * (self.cell_width > self.format.width)
                pieces.append((fit(text, self.cell_width - len(space), "right") + space, Heat(self.scale, level, role=role)))
        return pieces

    def spot(self, row: int, column: int) -> Spot:
        spot = super().spot(row, column)
        down, across = self.pooled
        half = row // down
        part: CellPart = "cell" if self.rows_each == 1 else "lower" if half % 2 else "upper"
        start = self.pinned + column // across * self.cell_width
        return replace(spot, line=len(self.head) + half // self.rows_each, start=start, width=self.cell_width, part=part)

    def at(self, line: int, x: int, now: tuple[int, int] | None = None) -> tuple[int, int] | None:
        """The number at a place: of several the one with the largest magnitude; in a half block the other half's if one of it is
        `now`.
        """
        down, across = self.pooled
        first, column = (line - len(self.head)) * self.rows_each, (x - self.pinned) // self.cell_width * across
        if not (0 <= first * down < self.rows and 0 <= column < self.columns and x >= self.pinned):
            return None
        if self.rows_each > 1 and now is not None and now[0] // down == first and now[1] // across == column // across:
            first += (first + 1) * down < self.rows
        part = np.nan_to_num(np.abs(self.values[first * down : (first + 1) * down, column : column + across]), nan=-1)
        place = np.unravel_index(int(part.argmax()), part.shape)
        return first * down + int(place[0]), column + int(place[1])

    def find(self, ref: str) -> tuple[int, int] | None:
        name, places = split(self.matrix.ref)
        found, indices = split(ref)
        if TIMES in self.matrix.ref + ref or name != found:
            return super().find(ref)
        starts = [(n, int(place.rstrip(":") or 0)) for n, place in enumerate(places) if place.endswith(":")]
        starts += [(n, 0) for n in range(len(places), len(indices))]
        if len(starts) != 2 or any(n >= len(indices) for n, _ in starts):
            return super().find(ref)
        row, column = (int(indices[n]) - start for n, start in starts)
        is_here = 0 <= row < self.rows and 0 <= column < self.columns and self.spot(row, column).ref == ref
        return (row, column) if is_here else None


def _masked_cells(piece: ColouredPiece, width: int) -> ColouredPiece:
    """Masked cells with their mark."""
    text, kind = piece
    assert isinstance(kind, Heat)
    return (MASKED.ljust(width) * (len(text) // width), "masked") if kind.level == MASKED_LEVEL else piece


def pooled(values: NDArray[np.float32], down: int, across: int) -> NDArray[np.float32]:
    """(R, C) values as (⌈R/down⌉, ⌈C/across⌉): of each group the number with the largest magnitude; NaN where all are."""
    rows, columns = values.shape
    padded = np.full((-(-rows // down) * down, -(-columns // across) * across), np.nan, dtype=values.dtype)
    padded[:rows, :columns] = values
    groups = padded.reshape(len(padded) // down, down, -1, across).swapaxes(1, 2).reshape(len(padded) // down, -1, down * across)
    places = np.where(np.isnan(groups), -1, np.abs(groups)).argmax(-1)
    return np.take_along_axis(groups, places[..., None], -1)[..., 0]


def lay_heatmap(matrix: Matrix, width: int, beside: Matrix | None = None) -> LaidHeatmap:
    """Numbers if every column has room for one; else a line for each of a few rows, two characters a number; else half blocks.

    The matrix `beside` it is drawn likewise, and on the same scale.
    """
    values = matrix.values.numpy()
    rows, columns = values.shape
    every = [matrix] if beside is None else [matrix, beside]
    widest = max(each.values.shape[1] for each in every)
    highest = max(each.values.shape[0] for each in every)
    scale, limit = scale_and_limit(every)
    labels = [label for each in every for label in each.row_labels]
    label_width = min(LABEL_WIDTH, max((cell_len(label.rstrip()) for label in labels), default=0))
    pinned = MARK + label_width + 1
    room = max(1, width - pinned)
    is_share = scale == "sequential" and limit == 1.0
    formats = share_formats if is_share else decimal_formats
    options = [formats(each.values.numpy()) for each in every] if 3 * widest <= room else []
    found = next(
        (n for n in range(min(map(len, options), default=0)) if widest * max(each[n].width for each in options) <= room), None
    )
    laid = LaidHeatmap(matrix, values, width, label_width, limit=limit, scale=scale)
    if found is not None:
        longest = max(each[found].width for each in options)
        laid.cell_width, laid.format = max(longest, min(WIDEST, room // widest)), options[0][found]
    elif highest <= WHOLE_ROWS and widest <= room:
        laid.cell_width = min(2, room // widest)
    else:
        each = -(-widest // room)
        laid.rows_each, laid.pooled = 2, (each if highest > each else 1, each)
    shown = pooled(values, *laid.pooled) if laid.pooled != (1, 1) else values
    laid.levels = levels_of(shown / limit if limit else shown)
    laid.pinned, laid.rows, laid.columns = pinned, rows, columns
    laid.height = len(laid.head) + -(-len(laid.levels) // laid.rows_each)
    laid.width = pinned + laid.levels.shape[1] * laid.cell_width
    return laid
