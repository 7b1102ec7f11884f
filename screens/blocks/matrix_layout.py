"""Layout of a matrix, such as attention scores: numbers in the most exact format that fits, else shades."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from lab.core.colour_scales import Scale
from lab.core.number_format import fixed, significant
from lab.views.blocks import Matrix
from lab.views.number_refs import element, split
from screens.blocks.block_layout import (
    MASKED,
    NEGATIVE_SHADES,
    POSITIVE_SHADES,
    Laid,
    Line,
    Spot,
    heading,
    merged,
    shade,
    shade_words,
)
from screens.colour import ColouredPiece
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
            parts.append(f"{MASKED} masked")
        return "   ".join(parts)

    @cached_property
    def header(self) -> Line:
        """Labels of the columns, or numbers if they are too narrow; the selected one is marked ▾."""
        pinned = ((" " * self.pinned, ""),)
        if self.format is not None:
            return Line(merged(self._column_names()), pinned)
        chosen = self.matrix.selected[1] if self.matrix.selected else None
        every = 5 if self.cell_width == 2 else 10
        return Line(ruler(self.columns, self.first, chosen, self.cell_width, every, stride=self.matrix.stride), pinned)

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
        masked = math.isnan(value)
        label = f"{self.matrix.row_labels[row].strip()} → {self.matrix.column_labels[column].strip()}"
        start = self.pinned + column * self.cell_width
        name = element(self.matrix.ref, row, column)
        width = self.cell_width - self._gap
        return Spot(len(self.head) + row, start, width, label, name, None if masked else value, masked)

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
    limit = float(np.abs(seen).max()) if seen.size else 0.0
    laid = LaidMatrix(matrix, values, width, label_width, 2 if 2 * widest <= room else 1, limit)
    found = _format_that_fits(every, room // max(1, widest))
    if found is not None:
        laid.format, laid.cell_width = found
    laid.pinned, laid.rows, laid.columns = pinned, rows, columns
    laid.height, laid.width = len(laid.head) + rows, pinned + columns * laid.cell_width
    return laid


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
