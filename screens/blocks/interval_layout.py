"""Layout of an interval bar: parts end to end from 0 to 1, and a caret where a number falls."""

from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len

from lab.views.blocks import IntervalBar
from screens.blocks.block_layout import Laid, Line, Spot, heading, merged
from screens.colour import ColouredPiece
from screens.widgets.text_fitting import Piece, fit

GLYPHS = "█▓"
"""Alternate, so that borders show without colour."""
OTHERS = "░"
SHORTEST_LABEL = 3
"""Least character cells of a part with a label."""


@dataclass
class LaidIntervalBar(Laid):
    block: IntervalBar
    room: int
    """Width of the view in columns."""

    @cached_property
    def head(self) -> list[Line]:
        return heading(self.block.title, "", self.room)

    @cached_property
    def edges(self) -> list[int]:
        """Character cell at which each part begins, and where the last one ends."""
        return [round(part.low * self.room) for part in self.block.parts] + [round(self.block.parts[-1].high * self.room)]

    @property
    def caret(self) -> int:
        """Character cell of the number, within the selected part."""
        low, high = self.edges[self.block.selected], self.edges[self.block.selected + 1]
        place = min(int(self.block.mark * self.room), self.room - 1)
        return min(max(place, low), high - 1) if high > low else min(low, self.room - 1)

    def _kind(self, index: int) -> str:
        return "selected" if index == self.block.selected else "dim" if not self.block.parts[index].ref else "bar"

    def _names(self) -> tuple[ColouredPiece, ...]:
        pieces: list[Piece] = []
        for index, part in enumerate(self.block.parts):
            width = self.edges[index + 1] - self.edges[index]
            named = width >= SHORTEST_LABEL
            text = fit(part.label.strip() or part.label, width - 1) + " " if named else " " * width
            pieces.append((text, "head" if self._kind(index) == "bar" else self._kind(index)))
        return merged(pieces)

    def _bar(self) -> tuple[ColouredPiece, ...]:
        pieces: list[Piece] = []
        for index, part in enumerate(self.block.parts):
            glyph = GLYPHS[index % 2] if part.ref else OTHERS
            pieces.append((glyph * (self.edges[index + 1] - self.edges[index]), self._kind(index)))
        return merged(pieces)

    def _caret(self) -> tuple[ColouredPiece, ...]:
        part = self.block.parts[self.block.selected]
        words = f"{self.block.mark_label}: {part.label.strip() or part.label}"
        at, length = self.caret, cell_len(words)
        if at + 2 + length <= self.room:
            return ((" " * at + "▲ " + words, "mark"),)
        return ((fit(words, max(0, at - 1), "right") + (" " if at else "") + "▲", "mark"),)

    def below(self, y: int) -> Line:
        return Line((self._names, self._bar, self._caret)[y]())

    def spot(self, row: int, column: int) -> Spot:
        part = self.block.parts[column]
        start = min(self.edges[column], self.room - 1)
        words = f"{part.label.strip() or part.label} · from {part.low:.4f} to {part.high:.4f}"
        width = max(1, self.edges[column + 1] - start)
        return Spot(len(self.head) + 1, start, width, words, part.ref, part.high - part.low)

    def start(self) -> tuple[int, int]:
        return 0, self.block.selected


def lay_interval_bar(block: IntervalBar, width: int) -> LaidIntervalBar:
    laid = LaidIntervalBar(block, max(8, width))
    laid.rows, laid.columns = 1, len(block.parts)
    laid.height, laid.width = len(laid.head) + 3, laid.room
    return laid
