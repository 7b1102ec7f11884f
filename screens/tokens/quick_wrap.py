"""Wrapping of a text area that stays quick where a line holds thousands of characters, or a text thousands of lines."""

from bisect import bisect_right

from rich.cells import get_character_cell_size
from textual.document._document import Location
from textual.document._wrapped_document import WrappedDocument

LONG_LINE = 1_000
"""Characters from which on a line is wrapped here: row by row, and only the rows that an edit may have changed."""


def next_break(line: str, width: int, start: int) -> int | None:
    """The break that ends the row which begins at `start`; None if the rest of the line fits. The line has no tabs.

    It stands before the word that does not fit with the whitespace behind it, or within a word that is longer than a row. It
    depends on the characters of this row and the next one alone.
    """
    end = start + width
    if not line.isascii():
        used, end = 0, start
        while end < len(line) and (used := used + get_character_cell_size(line[end])) <= width:
            end += 1
    if end >= len(line):
        return None
    for place in range(end, start, -1):
        if line[place - 1].isspace() and not line[place].isspace():
            return place
    return max(end, start + 1)


def wrap_offsets(line: str, width: int) -> list[int]:
    """All breaks of a line without tabs, as Textual's `compute_wrap_offsets` has them."""
    breaks: list[int] = []
    found = next_break(line, width, 0)
    while found is not None:
        breaks.append(found)
        found = next_break(line, width, found)
    return breaks


def wrap_edited(line: str, width: int, before: list[int], start: int, old_end: int, new_end: int) -> list[int]:
    """The breaks of a line whose characters [start, new_end) have replaced [start, old_end); `before` are those before that."""
    row, shift = bisect_right(before, start), new_end - old_end
    breaks = before[: max(0, row - 1)]
    found = next_break(line, width, breaks[-1] if breaks else 0)
    while found is not None:
        breaks.append(found)
        if found >= new_end:
            at = bisect_right(before, found - shift)
            if at and before[at - 1] == found - shift:
                return breaks + [place + shift for place in before[at:]]
        found = next_break(line, width, found)
    return breaks


class QuickWrappedDocument(WrappedDocument):
    """Wraps as Textual's does, and a long line by the row."""

    @property
    def height(self) -> int:
        return len(self._offset_to_line_info)

    def wrap_range(self, start: Location, old_end: Location, new_end: Location) -> None:
        row, one_line = start[0], start[0] == old_end[0] == new_end[0]
        line = self.document.get_line(row) if one_line and row < self.document.line_count else ""
        if len(line) < LONG_LINE or "\t" in line or self._width < 2 or self._tab_width_cache[row] != [0]:
            super().wrap_range(start, old_end, new_end)
            return
        old = self._line_index_to_offsets[row]
        first, last = sorted((start[1], old_end[1]))
        breaks = wrap_edited(line, self._width, self._wrap_offsets[row], first, last, new_end[1])
        top, number = old[0], len(breaks) + 1
        shift = number - len(old)
        self._wrap_offsets[row] = breaks
        self._line_index_to_offsets[row] = list(range(top, top + number))
        self._offset_to_line_info[top : top + len(old)] = [(row, section) for section in range(number)]
        if shift:
            for later in self._line_index_to_offsets[row + 1 :]:
                later[:] = [offset + shift for offset in later]
