"""Layout of a grid of tokens, such as the logit lens of a whole prompt: each token on the colour of its probability."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from lab.core.number_format import probability
from lab.views.blocks import TextGrid
from screens.blocks.block_layout import Laid, Line, Spot, heading
from screens.colour import ColouredPiece, heat, legend_bar
from screens.widgets.text_fitting import fit

LABEL_WIDTH = 14
"""Longest label of a row before it is shortened."""
MARK = 2
"""Room for the mark of the selected row."""
NARROWEST, NARROW, WIDEST = 6, 8, 18
"""Character cells of a cell: the level, the token, a space; where there is room the number in place of the level. The least that
fits a grid whole, the least of one that scrolls, and the most."""
NUMBER = 5
"""Room for a percentage and a space before it."""
LEVELS = " ▁▂▃▄▅▆▇█"
"""The probability in eighths, for terminals without colours."""


def level(value: float) -> str:
    """The block for a probability, in eighths; anything but 0 shows."""
    return LEVELS[min(len(LEVELS) - 1, max(round(value * 8), value > 0))]


@dataclass
class LaidTextGrid(Laid):
    follows: bool = field(init=False, default=True)
    grid: TextGrid
    values: NDArray[np.float32]
    room: int
    """Width of the view in columns."""
    label_width: int = 1
    cell_width: int = NARROW
    numbers: bool = False
    paints: bool = True
    """True where the paper shows the probability; else the level does, where there is no room for the number."""

    @cached_property
    def head(self) -> list[Line]:
        """Title, legend, and the labels of the columns."""
        scale: list[ColouredPiece] = [(f"{self.grid.title}   ", "title")]
        if self.paints:
            scale += legend_bar("sequential", "0%", "100%", 12)
        elif not self.numbers:
            scale.append((f"blank 0%  {level(0.5)} 50%  {level(1.0)} 100%", "dim"))
        words = "   ".join(filter(None, (self.grid.legend, self.grid.marked_legend)))
        labels = self.grid.column_labels
        if any(cell_len(label) + 2 > self.cell_width for label in labels):
            labels = ["".join(filter(str.isdecimal, label)) or label for label in labels]
        columns = "".join(fit(" " + label, self.cell_width) for label in labels)
        pinned = ((" " * self.pinned, ""),)
        return [Line(tuple(scale)), *heading("", words, self.room), Line(((columns, "head"),), pinned)]

    def below(self, row: int) -> Line:
        chosen = self.grid.selected is not None and row == self.grid.selected[0]
        label = fit(self.grid.row_labels[row].rstrip(), self.label_width)
        pinned = (("▸ " if chosen else "  ", "mark"), (label + " ", "selected" if chosen else "head"))
        pieces: list[ColouredPiece] = []
        for column, (text, value) in enumerate(zip(self.grid.texts[row], self.values[row].tolist(), strict=True)):
            plain = heat("sequential", value)
            marked = bool(self.grid.marked) and self.grid.marked[row][column]
            words = text.strip() or text
            shown = fit(words, min(cell_len(words), self.cell_width - 2))
            rest = self.cell_width - 1 - cell_len(shown)
            pieces += [
                (" " if self.numbers or self.paints else level(value), plain),
                (shown, plain._replace(role="selected") if marked else plain),
                (fit(probability(value, 0), rest - 1, "right") + " " if self.numbers else " " * rest, plain),
            ]
        return Line(tuple(pieces), pinned)

    def spot(self, row: int, column: int) -> Spot:
        value = float(self.values[row, column])
        place = f"{self.grid.row_labels[row].strip()} · {self.grid.column_labels[column]}"
        label = f"{place} → “{self.grid.texts[row][column]}” {probability(value)} · Enter goes there"
        start = self.pinned + column * self.cell_width
        to = self.grid.destinations[column]
        to = type(to)(to.stage, to.layer, self.grid.first_position + row)
        return Spot(len(self.head) + row, start, self.cell_width, label, "", None, destination=to)

    def start(self) -> tuple[int, int]:
        return self.grid.selected or (0, 0)


def lay_text_grid(grid: TextGrid, width: int, paints: bool = True) -> LaidTextGrid:
    """Lay out cells as wide as fit, from `NARROWEST` to the longest token; wider ones scroll by whole cells."""
    values = grid.values.numpy()
    rows, columns = values.shape
    label_width = min(LABEL_WIDTH, max((cell_len(label.rstrip()) for label in grid.row_labels), default=0))
    longest = max((cell_len(text.strip() or text) for texts in grid.texts for text in texts), default=1)
    label = max((cell_len(each.removeprefix("layer ")) for each in grid.column_labels), default=1)
    pinned = MARK + label_width + 1
    least = NARROWEST if pinned + columns * NARROWEST <= width else NARROW
    cell_width = max(least, min(longest + 2 + NUMBER, WIDEST, (width - pinned) // max(1, columns)))
    numbers = cell_width >= longest + 2 + NUMBER
    cell_width = cell_width if numbers else min(cell_width, max(least, longest + 2, label + 2))
    laid = LaidTextGrid(grid, values, width, label_width, cell_width, numbers, paints)
    laid.pinned, laid.rows, laid.columns = pinned, rows, columns
    laid.height, laid.width = len(laid.head) + rows, pinned + columns * cell_width
    laid.cuts = tuple(range(0, columns * cell_width + 1, cell_width))
    return laid
