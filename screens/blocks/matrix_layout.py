"""Layout of a matrix, such as attention scores: numbers in the most exact format that fits, else shades; in colours, a heatmap.

In a heatmap a cell's paper stands for its number, which is written on it where it is wide enough. Narrower cells are halves of a
half block, two rows to a line. Where the columns still do not fit, a half stands for the largest of several numbers.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from lab.core.colour_scales import Scale
from lab.core.number_format import fixed, significant
from lab.views.blocks import Matrix
from lab.views.number_refs import TIMES, element, split
from screens.blocks.block_layout import (
    MASKED,
    NEGATIVE_SHADES,
    POSITIVE_SHADES,
    CellPart,
    Laid,
    Line,
    Spot,
    blank_if_masked,
    heading,
    merged,
    scale_bar,
    shade,
    shade_words,
)
from screens.colour import MASKED_LEVEL, ColouredPiece, Heat, half_block_cells, heat_cells, levels_of
from screens.widgets.text_fitting import fit


@dataclass
class NumberFormat:
    """A way to write the numbers of a matrix in its cells."""

    texts: list[list[str]]
    width: int
    """Least width of a cell."""
    words: str = ""
    """Explanation in the legend."""


def short(value: float) -> str:
    """`value` in few characters: two decimals below 10, fewer above."""
    size = abs(value)
    if value == 0:
        return "0"
    if size < 100:
        return fixed(value, 2 if size < 9.995 else 1)
    return fixed(value, 0) if size < 9_999.5 else significant(value, 1)


def share_formats(values: NDArray[np.float32]) -> list[NumberFormat]:
    """Shares of 1 in percent, to one decimal or none."""
    # Only shares of 100% have three digits, and in a row that sums to 1 nothing stands beside such a one.
    exact = _format(values, lambda share: "" if share < 0.0005 else "100" if share >= 0.9995 else f"{share * 100:.1f}", 4)
    whole = _format(values, lambda share: "" if share < 0.005 else f"{share * 100:.0f}", 2)
    return [replace(exact, words="in %, blank: <0.05"), replace(whole, words="in %, blank: <0.5")]


def decimal_formats(values: NDArray[np.float32]) -> list[NumberFormat]:
    """Values to two decimals, or to one."""
    largest = float(np.nanmax(np.abs(values), initial=0))
    found = [_format(values, short)]
    return [*found, _format(values, lambda value: fixed(value, 1))] if 1 <= largest < 100 else found


def _format(values: NDArray[np.float32], write: Callable[[float], str], longest: int | None = None) -> NumberFormat:
    texts = [["" if value != value else write(value) for value in row] for row in values.tolist()]
    return NumberFormat(texts, (longest or max((len(text) for row in texts for text in row), default=1)) + 1)


LABEL_WIDTH = 12
"""Longest label of a row before it is shortened."""
MARK = 2
"""Room for the mark of the selected row."""
NUMBER_WIDTH = 6
"""Character cells of a glyph, a number and a space; a share of 1 in percent takes fewer where there is no room for so many."""
SHORTEST_LABEL = 5
"""Least width of a cell with the label of its column above it; narrower ones have its number."""


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
    return with_mark(line, chosen // across * width, f"▾{first + chosen * stride} ")


def with_mark(line: list[str], place: int, mark: str) -> tuple[ColouredPiece, ...]:
    """A line of numbers with a mark on it, which leaves no part of another number beside itself."""
    before, after = "".join(line[:place]), "".join(line[place + len(mark) :])
    if before and before[-1] != " ":
        before = before.rstrip("0123456789").ljust(place)
    after = after.lstrip("0123456789").rjust(len(after))
    return ((before, "head"), (mark, "selected"), (after, "head"))


@dataclass
class LaidMatrix(Laid):
    matrix: Matrix
    values: NDArray[np.float32]
    """(rows, columns); NaN where masked."""
    room: int
    """Width of the view in columns."""
    label_width: int = 1
    cell_width: int = 1
    limit: float = 0.0
    """The magnitude of the darkest shade."""
    format: NumberFormat | None = None
    """None where the cells are too narrow for numbers."""
    pooled: tuple[int, int] = (1, 1)
    """Rows and columns of which a cell shows the largest magnitude."""

    def fit_cells(self, every: Sequence[Matrix], widest: int, room: int) -> tuple[int, int]:
        """Numbers if every column has room for one, else two character cells a number, else one: the lines, and cells in each.

        `every` matrix on the same scale has at most `widest` columns; the cells have `room` in all.
        """
        seen = np.concatenate([each.values.numpy().reshape(-1) for each in every])
        seen = seen[np.isfinite(seen)]
        self.limit = float(np.abs(seen).max()) if seen.size else 0.0
        self.cell_width = 2 if 2 * widest <= room else 1
        if (found := _format_that_fits(every, room // max(1, widest))) is not None:
            self.format, self.cell_width = found
        return self.rows, self.columns

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
        positive = f"{POSITIVE_SHADES} |x|" if self.signed and self.format else POSITIVE_SHADES
        parts.append(shade_words(positive, NEGATIVE_SHADES if self.signed and not self.format else "", self.limit))
        if self.format is not None and self.format.words:
            parts.append(self.format.words)
        if bool(np.isnan(self.values).any()):
            parts.append(f"{MASKED} {self.matrix.masked}")
        return "   ".join(parts)

    @cached_property
    def header(self) -> Line:
        """Labels of the columns, or numbers if they are too narrow; the selected one is marked ▾."""
        pinned = ((" " * self.pinned, ""),)
        if self.format is not None:
            return Line(merged(self._column_names()), pinned)
        chosen, across = self.matrix.selected[1] if self.matrix.selected else None, self.pooled[1]
        every = 5 if self.cell_width == 2 else 10 * across
        numbers = ruler(self.columns, self.first, chosen, self.cell_width, every, across, self.matrix.stride)
        return Line(self.fitted(numbers), pinned)

    def fitted(self, ruler: tuple[ColouredPiece, ...]) -> tuple[ColouredPiece, ...]:
        """The ruler as wide as it is to be."""
        return ruler

    def _column_names(self) -> list[ColouredPiece]:
        """The label of each column where there is room for one, else its number; the selected one's is marked ▾."""
        chosen = self.matrix.selected[1] if self.matrix.selected else None
        pieces: list[ColouredPiece] = []
        for index, label in enumerate(self.matrix.column_labels):
            name = label.strip() if self.cell_width >= SHORTEST_LABEL else str(self.first + index * self.matrix.stride)
            if index != chosen:
                pieces += [(fit(name, self.cell_width - 1, "right"), "head"), (" ", "head")]
                continue
            is_inside = cell_len(name) + 2 <= self.cell_width
            if not is_inside and pieces:
                pieces[-1] = ("▾", "selected")  # in the gap before it
            pieces.append((fit(f"▾{name}" if is_inside else name, self.cell_width - 1, "right") + " ", "selected"))
        return pieces

    @cached_property
    def head(self) -> list[Line]:
        """Title, legend and the labels of the columns."""
        return [*heading(self.matrix.title, self.legend, self.room, self.scale_bar()), self.header]

    def below(self, row: int) -> Line:
        chosen = self.matrix.selected
        in_row = chosen is not None and row == chosen[0]
        label = fit(self.matrix.row_labels[row].rstrip(), self.label_width)
        pinned = (("▸ " if in_row else "  ", "mark"), (label + " ", "selected" if in_row else "head"))
        return Line(merged(self._cells(row, chosen[1] if chosen and in_row else None)), pinned)

    def _cells(self, row: int, chosen: int | None) -> list[ColouredPiece]:
        if self.format is not None:
            texts = self.format.texts[row]
            each = enumerate(zip(self.values[row].tolist(), texts, strict=True))
            return [piece for column, (value, text) in each for piece in self._number_cell(value, text, column == chosen)]
        pieces: list[ColouredPiece] = []
        for value in self.values[row].tolist():
            glyph = shade(value, self.limit)
            if value != value:
                pieces.append((glyph.ljust(self.cell_width), "masked"))
            else:
                pieces.append((glyph * self.cell_width, "negative" if value < 0 else "positive"))
        return pieces

    def _number_cell(self, value: float, text: str, is_chosen: bool) -> list[ColouredPiece]:
        """A shade and the number beside it, with a space behind where there is room."""
        if value != value:
            return [(fit(MASKED, self.cell_width - 1, "center"), "masked"), (" ", "")]
        # The number has its sign; a minus as shade before it would read as a second one.
        glyph = shade(abs(value), self.limit) if len(text) < self.cell_width - self._gap else ""
        number = fit(text, self.cell_width - self._gap - len(glyph), "right")
        kind = "negative" if value < 0 else "positive"
        return [(glyph, kind), (number, "selected" if is_chosen else "cell"), (" " * self._gap, "")]

    @property
    def _gap(self) -> int:
        """Spaces behind a number: without one, the shade of the next cell stands between two."""
        return int(self.format is not None and self.cell_width > self.format.width)

    def spot(self, row: int, column: int) -> Spot:
        value = float(self.values[row, column])
        masked = self.matrix.masked * math.isnan(value)
        label = f"{self.matrix.row_labels[row].strip()} → {self.matrix.column_labels[column].strip()}"
        start = self.pinned + column * self.cell_width
        name = element(self.matrix.ref, row, column)
        width = self.cell_width - self._gap
        return Spot(len(self.head) + row, start, width, label, name, None if masked else value, masked)

    def start(self) -> tuple[int, int]:
        return self.matrix.selected or (0, 0)


def _format_that_fits(matrices: Sequence[Matrix], room: int) -> tuple[NumberFormat, int] | None:
    """The most exact format of the first matrix for which the cells of all have room, and their width; None where none has."""
    is_share = scale_and_limit(matrices) == ("sequential", 1.0)
    if room < (3 if is_share else NUMBER_WIDTH):
        return None
    formats = share_formats if is_share else decimal_formats
    for options in zip(*(formats(each.values.numpy()) for each in matrices), strict=False):
        # A glyph and the number; and, between figures of any length, a space.
        least = max(each.width for each in options) + (not is_share)
        if least <= room:
            return options[0], max(least, min(NUMBER_WIDTH, room))
        if not is_share:
            break
    return None


def scale_and_limit(matrices: Sequence[Matrix]) -> tuple[Scale, float]:
    """One scale for matrices that are compared, and the number at its end."""
    seen = np.concatenate([each.values.numpy().reshape(-1) for each in matrices])
    seen = seen[np.isfinite(seen)]
    asked = next((each.scale for each in matrices if each.scale is not None), None)
    fixed_limit = next((each.limit for each in matrices if each.limit is not None), None)
    scale: Scale = asked or ("diverging" if bool((seen < 0).any()) else "sequential")
    largest = float(np.abs(seen).max()) if seen.size else 0.0
    return scale, largest if fixed_limit is None else fixed_limit


WHOLE_ROWS = 24
"""Most rows that take a line each where no number fits; more are drawn as half blocks."""
WIDEST = 8
"""Most character cells of a number."""


@dataclass
class LaidHeatmap(LaidMatrix):
    scale: Scale = "sequential"
    rows_each: int = 1
    """Rows in one line: 2 in half blocks."""
    levels: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    """The colour of each cell, after pooling."""

    def fit_cells(self, every: Sequence[Matrix], widest: int, room: int) -> tuple[int, int]:
        """Numbers if every column has room for one; else a line for each of a few rows, two characters a number; else half
        blocks."""
        highest = max(each.values.shape[0] for each in every)
        self.scale, self.limit = scale_and_limit(every)
        formats = share_formats if self.scale == "sequential" and self.limit == 1.0 else decimal_formats
        options = [formats(each.values.numpy()) for each in every] if 3 * widest <= room else []
        widths = [max(each.width for each in found) for found in zip(*options, strict=False)]
        fitting = next((n for n, longest in enumerate(widths) if widest * longest <= room), None)
        if fitting is not None:
            self.cell_width, self.format = max(widths[fitting], min(WIDEST, room // widest)), options[0][fitting]
        elif highest <= WHOLE_ROWS and widest <= room:
            self.cell_width = min(2, room // widest)
        else:
            each = -(-widest // room)
            self.rows_each, self.pooled = 2, (each if highest > each else 1, each)
        shown = pooled(self.values, *self.pooled) if self.pooled != (1, 1) else self.values
        self.levels = levels_of(shown / self.limit if self.limit else shown)
        return -(-len(self.levels) // self.rows_each), self.levels.shape[1]

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

    def fitted(self, ruler: tuple[ColouredPiece, ...]) -> tuple[ColouredPiece, ...]:
        """The ruler cut at the width of the view."""
        left, found = self.room - self.pinned, []
        for text, kind in ruler:
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


def lay_matrix(matrix: Matrix, width: int, beside: Matrix | None = None, paints: bool = False) -> LaidMatrix:
    """Lay out numbers as glyphs, or with `paints` as colours. The matrix `beside` it is drawn likewise, and on the same scale."""
    values = matrix.values.numpy()
    every = [matrix] if beside is None else [matrix, beside]
    labels = [label for each in every for label in each.row_labels]
    label_width = min(LABEL_WIDTH, max((cell_len(label.rstrip()) for label in labels), default=0))
    laid = (LaidHeatmap if paints else LaidMatrix)(matrix, values, width, label_width)
    laid.pinned, (laid.rows, laid.columns) = MARK + label_width + 1, values.shape
    lines, cells = laid.fit_cells(every, max(each.values.shape[1] for each in every), max(1, width - laid.pinned))
    laid.height, laid.width = len(laid.head) + lines, laid.pinned + cells * laid.cell_width
    return laid
