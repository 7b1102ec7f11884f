"""Wrapping of a text area that stays quick where a line holds thousands of characters, or a text thousands of lines."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from rich.cells import get_character_cell_size
from textual.document._document import Location
from textual.document._wrapped_document import WrappedDocument

LONG_LINE = 1_000
"""Characters from which on a line is wrapped here: row by row, not word by word."""

_WORD = re.compile(r"(?<=\s)\S")


def wrap_offsets(line: str, width: int) -> list[int]:
    """Places at which a line without tabs breaks: before the word that does not fit with the whitespace behind it, or within a
    word that is longer than a row. As Textual's `compute_wrap_offsets` has them."""
    starts = [found.start() for found in _WORD.finditer(line)]
    ends: Sequence[int] = range(1, len(line) + 1)
    if not line.isascii():
        ends = list(accumulate(map(get_character_cell_size, line)))
    breaks: list[int] = []
    start = 0
    while True:
        before = ends[start - 1] if start else 0
        end = bisect_right(ends, before + width, start)
        if end >= len(line):
            return breaks
        at = bisect_right(starts, end) - 1
        start = starts[at] if at >= 0 and starts[at] > start else max(end, start + 1)
        breaks.append(start)


class QuickWrappedDocument(WrappedDocument):
    """Wraps as Textual's does, and a long line by the row."""

    @property
    def height(self) -> int:
        return len(self._offset_to_line_info)

    def wrap_range(self, start: Location, old_end: Location, new_end: Location) -> None:
        row = start[0]
        line = self.document.get_line(row) if row == old_end[0] == new_end[0] < self.document.line_count else ""
        if len(line) < LONG_LINE or "\t" in line or self._width < 2:
            super().wrap_range(start, old_end, new_end)
            return
        offsets = wrap_offsets(line, self._width)
        old = self._line_index_to_offsets[row]
        top, number, shift = old[0], len(offsets) + 1, len(offsets) + 1 - len(old)
        self._wrap_offsets[row] = offsets
        self._tab_width_cache[row] = [0]
        self._line_index_to_offsets[row] = list(range(top, top + number))
        self._offset_to_line_info[top : top + len(old)] = [(row, section) for section in range(number)]
        if shift:
            for later in self._line_index_to_offsets[row + 1 :]:
                later[:] = [offset + shift for offset in later]
