"""Layout of matrices side by side under one cursor: rows on the same lines, the largest matrix with the widest cells."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from msgspec import structs
from numpy.typing import NDArray
from rich.cells import cell_len

from lab.core.colour_scales import Scale
from lab.core.number_format import MINUS, probability, significant
from lab.views.blocks import Matrix, MatrixPanels
from lab.views.number_refs import element
from screens.blocks.block_layout import MASKED, CellPart, Laid, Line, Spot, merged, shade
from screens.blocks.matrix_layout import LABEL_WIDTH, MARK, lay_matrix, scale_and_limit, short, with_mark
from screens.colour import ColouredPiece, heat, heat_cells, legend_bar, levels_of
from screens.widgets.text_fitting import fit

CELL_WIDTHS = ((8, 6), (7, 6), (7, 3), (6, 3), (5, 3), (5, 2), (4, 2), (4, 1), (3, 1), (2, 1))
"""Character cells of a number in the largest matrix and in the others, the first that fits."""
NUMBER_WIDTH = {True: 3, False: 6}
"""Narrowest cell in which a number of the largest matrix is written: as percent, or in figures."""
BETWEEN = 2
"""Character cells between two matrices."""
FEWEST = 14
"""Columns in sight below which each matrix is shown alone."""
HEAD = 4
"""Lines above the rows: titles, scales, the numbers under the cursor, the columns' labels."""


@dataclass
class LaidMatrixPanels(Laid):
    panels: MatrixPanels
    values: list[NDArray[np.float32]]
    """Of each matrix, (rows, columns)."""
    paints: bool
    label_width: int
    cell_widths: list[int]
    in_sight: int
    """Columns in sight at once."""
    first: int = 0
    """The first of them."""
    place: tuple[int, int] = (0, 0)
    """The cell that all matrices read out: the cursor's, else the selected one."""
    limits: list[float] = field(default_factory=list)
    scales: list[Scale] = field(default_factory=list)

    @cached_property
    def matrices(self) -> list[Matrix]:
        return self.panels.matrices

    @cached_property
    def widths(self) -> list[int]:
        """Of each matrix, in character cells."""
        return [self.in_sight * each for each in self.cell_widths]

    @cached_property
    def starts(self) -> list[int]:
        """The first character cell of each matrix."""
        before = [sum(self.widths[:index]) + BETWEEN * index for index in range(len(self.widths))]
        return [self.pinned + each for each in before]

    def point(self, place: tuple[int, int] | None) -> range:
        old = self.place, self.first
        self.place = place or self.matrices[0].selected or (0, 0)
        self.first = around_place(self.first, self.place[1], self.in_sight, self.columns)
        if self.first != old[1]:
            return range(self.height)
        return range(HEAD) if self.place != old[0] else range(0)

    def line(self, y: int) -> Line:
        if y == 0:
            arrow = "→ ".rjust(BETWEEN)
            titles = [self._title(index) for index in range(len(self.matrices))]
            return self._side_by_side([[(title, "title")] for title in titles], arrow, self._columns_in_sight)
        if y == 1:
            return self._side_by_side([list(self._legend(index)) for index in range(len(self.matrices))])
        if y == 2:
            row, column = self.place
            return self._side_by_side(
                [[(self._readout(index), "strong")] for index in range(len(self.matrices))],
                pinned=f"{_number(self.matrices[0].row_labels, row)} → {self._column(column)}",
            )
        if y == HEAD - 1:
            return self._side_by_side(
                [list(self._header(width)) for width in self.cell_widths], pinned=f"{self.panels.columns} →"
            )
        row = y - HEAD
        selected = self.matrices[0].selected
        lit = selected is not None and row == selected[0]
        label = fit(self.matrices[0].row_labels[row].rstrip(), self.label_width)
        pinned: tuple[ColouredPiece, ...] = (("▸ " if lit else "  ", "mark"), (label, "selected" if lit else "head"))
        pieces: list[ColouredPiece] = [("▸" if lit else " ", "mark")]
        for index in range(len(self.matrices)):
            pieces += [(("◂▸" if lit else "  "), "mark")] if index else []
            pieces += self._cells(index, row)
        return Line(merged([*pieces, ("◂" if lit else "", "mark")]), pinned)

    def _side_by_side(self, parts: Sequence[list[ColouredPiece]], between: str = " " * BETWEEN, pinned: str = "") -> Line:
        """A line of the head: a part over each matrix."""
        pieces: list[ColouredPiece] = [(" ", "")]
        for index, (part, width) in enumerate(zip(parts, self.widths, strict=True)):
            taken = sum(cell_len(text) for text, _ in part)
            pieces += [(between, "dim")] if index else []
            pieces += [*part, (" " * (width - taken), "")]
        return Line(merged([*pieces, (" ", "")]), ((fit(pinned, self.pinned), "dim"),))

    def _title(self, index: int) -> str:
        unit = " in %" if self._is_share(index) and self.is_written(index) else ""
        title = self.matrices[index].title + unit
        return fit(title if cell_len(title) <= self.widths[index] else title.partition(" ")[0], self.widths[index])

    @property
    def _columns_in_sight(self) -> str:
        """The columns in sight, where these are not all."""
        if self.in_sight == self.columns:
            return ""
        return f"{self._column(self.first)}–{self._column(self.first + self.in_sight - 1)} of {self._column(self.columns - 1)}"

    def _column(self, index: int) -> str:
        """The number of a column: the labels of the rows have those of the keys."""
        matrix = self.matrices[0]
        return _number(matrix.row_labels if self.panels.columns == "key" else matrix.column_labels, index)

    def _legend(self, index: int) -> Iterator[ColouredPiece]:
        width, limit = self.widths[index], self.limits[index]
        high = "100%" if self._is_share(index) else significant(limit, 2)
        low = ("0%" if high == "100%" else "0") if self.scales[index] == "sequential" else MINUS + high
        bar = min(16, width - cell_len(low) - cell_len(high) - 2)
        if self.paints and bar >= 3:
            yield from legend_bar(self.scales[index], low, high, bar)
        else:
            ends = f"±{high}" if self.scales[index] == "diverging" else f"0…{high}"
            yield self._that_fits(index, f"{low} to {high}", ends), "dim"

    def _readout(self, index: int) -> str:
        value = float(self.values[index][self.place])
        if math.isnan(value):
            return self._that_fits(index, self.matrices[index].masked, MASKED)
        if self._is_share(index):
            return self._that_fits(index, probability(value), probability(value, 0))
        return self._that_fits(index, significant(value, 4), significant(value, 2))

    def _that_fits(self, index: int, *words: str) -> str:
        """The first of these that is no wider than the matrix; "" if all are: half a number is another one."""
        return next((each for each in words if cell_len(each) <= self.widths[index]), "")

    def _header(self, width: int) -> tuple[ColouredPiece, ...]:
        """Numbers of the columns, of all or of each fifth or tenth, and ▾ over that of the cursor."""
        every = width > len(self._column(self.first + self.in_sight - 1)) + 1  # room beside the one that is marked
        line = [" "] * (self.in_sight * width)
        mark = f"▾{self._column(self.place[1])}"
        marked = (self.place[1] - self.first) * width + max(0, (width - len(mark)) // 2)
        marked = max(0, min(marked, len(line) - len(mark)))
        for column in range(self.in_sight):
            number = self._column(self.first + column)
            at = column * width + max(0, (width - len(number)) // 2)
            free = at == 0 or line[at - 1] == " "
            if free and at + len(number) <= len(line) and (every or column % (10 if width == 1 else 5) == 0):
                line[at : at + len(number)] = number
        return with_mark(line, marked, mark[: len(line) - marked])

    def _cells(self, index: int, row: int) -> list[ColouredPiece]:
        width, limit = self.cell_widths[index], self.limits[index]
        values = self.values[index][row, self.first : self.first + self.in_sight]
        shown = len(values) - int(np.argmin(np.isnan(values[::-1]))) if not np.isnan(values).all() else 0
        masked = [(MASKED.ljust(width) * (len(values) - shown), "masked")] if shown < len(values) else []
        if self.is_written(index):
            return [*(self._number_cell(index, value) for value in values[:shown].tolist()), *masked]
        if self.paints:
            levels = levels_of(values[:shown] / limit if limit else values[:shown] * 0)
            return [*heat_cells(self.scales[index], levels, width), *masked]
        glyphs = [(shade(value, limit) * width, "negative" if value < 0 else "positive") for value in values[:shown].tolist()]
        return [*glyphs, *masked]

    def _number_cell(self, index: int, value: float) -> ColouredPiece:
        width, limit = self.cell_widths[index], self.limits[index]
        if value != value:
            return fit(MASKED, width), "masked"
        text = _percent(value) if self._is_share(index) else short(value)
        if self.paints:
            return fit(text, width, "center"), heat(self.scales[index], value / limit if limit else 0.0)
        kind = "negative" if value < 0 else "positive"
        return shade(abs(value), limit) + fit(text, width - 1, "right"), kind

    def _is_share(self, index: int) -> bool:
        """True for a matrix whose rows are shares of 1."""
        return self.scales[index] == "sequential" and self.limits[index] == 1.0

    def is_written(self, index: int) -> bool:
        narrowest = NUMBER_WIDTH[self._is_share(index)] + (not self.paints)
        return self.cell_widths[index] >= narrowest

    def spot(self, row: int, column: int) -> Spot:
        largest = self.panels.largest
        spans = [
            (start + 1 + (column - self.first) * width, width) for start, width in zip(self.starts, self.cell_widths, strict=True)
        ]
        label = f"{self.matrices[0].row_labels[row].strip()} → {self.matrices[0].column_labels[column].strip()}"
        value = float(self.values[largest][row, column])
        masked = self.matrices[largest].masked * math.isnan(value)
        name = element(self.matrices[largest].ref, row, column)
        others = tuple(span for index, span in enumerate(spans) if index != largest)
        part: CellPart = "cell" if self.paints else "text"
        number = None if masked else value
        return Spot(HEAD + row, *spans[largest], label, name, number, masked, part=part, also=others)

    def at(self, line: int, x: int, now: tuple[int, int] | None = None) -> tuple[int, int] | None:
        if not HEAD <= line < self.height:
            return None
        for start, width in zip(self.starts, self.cell_widths, strict=True):
            column = (x - start - 1) // width
            if x > start and column < self.in_sight:
                return line - HEAD, self.first + column
        return None

    def start(self) -> tuple[int, int]:
        return self.matrices[0].selected or (0, 0)


def _number(labels: Sequence[str], index: int) -> str:
    """The number in a label, which is not its index where the matrices are a window of larger ones."""
    return next(iter(labels[index].split()), str(index + 1))


def _percent(share: float) -> str:
    """A share in at most three characters: `<1`, `28`, `100`; the sign is in the title."""
    return "0" if share == 0 else "<1" if share < 0.005 else f"{100 * share:.0f}"


def around_place(first: int, place: int, in_sight: int, count: int) -> int:
    """The first of `in_sight` columns, moved the least that shows `place` with one beside it."""
    if place < first + 1:
        first = place - 1
    elif place > first + in_sight - 2:
        first = place - in_sight + 2
    return max(0, min(first, count - in_sight))


def fitting(widths: Sequence[tuple[int, int]], room: int, columns: int, others: int) -> tuple[int, int, int] | None:
    """Cells of a number in the largest matrix and in the others, and the columns in sight; None where too few would be."""
    for largest, other in widths:
        if columns * (largest + others * other) <= room:
            return largest, other, columns
    largest, other = widths[-1]
    in_sight = room // (largest + others * other)
    return (largest, other, in_sight) if in_sight >= FEWEST else None


def lay_matrix_panels(panels: MatrixPanels, width: int, beside: MatrixPanels | None, paints: bool, panel: int) -> Laid:
    """All matrices side by side where they fit, and each alone, the largest first: `panel` counts on through these.

    Side by side they come last where the largest has room for its numbers only alone. Those `beside` them have the same scales.
    """
    together = side_by_side(panels, width, beside, paints)
    order = sorted(range(len(panels.matrices)), key=lambda index: index != panels.largest)
    choices = [*([None] if together else []), *order]
    largest = panels.matrices[panels.largest]
    if together and not together.is_written(panels.largest) and lay_matrix(largest, width, paints=paints).format is not None:
        panel += 1
    chosen = choices[panel % len(choices)]
    if chosen is None:
        assert together is not None
        return together
    matrix = panels.matrices[chosen]
    others = (choices[(panel + ahead) % len(choices)] for ahead in range(1, len(choices)))
    titles = ["all" if each is None else panels.matrices[each].title for each in others]
    matrix = structs.replace(matrix, title=f"{matrix.title} · v shows {', then '.join(titles)}")
    alone = lay_matrix(matrix, width, beside.matrices[chosen] if beside else None, paints)
    alone.follows = alone.keeps_cursor = True
    alone.sticky = len(alone.head)
    return alone


def side_by_side(panels: MatrixPanels, width: int, beside: MatrixPanels | None, paints: bool) -> LaidMatrixPanels | None:
    """All matrices side by side; None where there is no room."""
    matrices, largest = panels.matrices, panels.largest
    rows, columns = matrices[0].values.shape
    label_width = min(LABEL_WIDTH, max((cell_len(label.rstrip()) for label in matrices[0].row_labels), default=0))
    pinned, others = MARK + label_width, len(matrices) - 1
    found = fitting(CELL_WIDTHS, width - pinned - BETWEEN * (others + 1), columns, others)
    if found is None:
        return None
    widest, other, in_sight = found
    cell_widths = [widest if index == largest else other for index in range(len(matrices))]
    laid = LaidMatrixPanels(panels, [each.values.numpy() for each in matrices], paints, label_width, cell_widths, in_sight)
    for index, matrix in enumerate(matrices):
        scale, limit = scale_and_limit([matrix, *([beside.matrices[index]] if beside else [])])
        laid.scales.append(scale)
        laid.limits.append(limit)
    laid.pinned, laid.rows, laid.columns, laid.sticky = pinned, rows, columns, HEAD
    laid.follows = laid.keeps_cursor = True
    laid.height, laid.width = HEAD + rows, pinned + BETWEEN * (others + 1) + sum(laid.widths)
    laid.point(None)
    return laid
