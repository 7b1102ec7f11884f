"""Runs of blank lines: one of them stays, and two after a line of code, where they separate its parts."""

import re

from lab.data.cleaning.cleaner import STATEMENT, BlockCleaner, CodeLines, Edit

_RUN = re.compile(r"^[^\S\n]*\n(?:[^\S\n]*\n)+", re.MULTILINE)
_BEGINNING = re.compile(r"(?:[^\S\n]*\n)+")


class BlankLines(BlockCleaner):
    """Removes each blank line that follows another, or two others after code. A line of spaces and tabs alone is blank."""

    def begin_document(self) -> None:
        self._code = CodeLines()
        self._room = 1
        """Blank lines that stay if the next block begins with them."""

    def edits(self, block: str) -> list[Edit]:
        self._code.read(block)
        edits = []
        at = block.find("\n") + 1 or len(block) if self.mid_line else 0
        text_end = max(at, len(block.rstrip()))
        if not at and (beginning := _BEGINNING.match(block)):
            at = beginning.end()
            edits = _lines(block, 0, at, self._room)
            self._room = max(0, self._room - block.count("\n", 0, at))
        for run in _RUN.finditer(block, at):
            edits += _lines(block, run.start(), run.end(), self._room_after(block, run.start()))
        if text_end:
            self._room = max(0, self._room_after(block, text_end) - block.count("\n", text_end) + (block[text_end - 1] != "\n"))
        return edits

    def _room_after(self, block: str, stop: int) -> int:
        """Blank lines that stay after the line that ends here."""
        line = block.rfind("\n", 0, stop - 1) + 1
        return 2 if self._code.is_code(block, line) or STATEMENT.match(block, line) else 1


def _lines(block: str, start: int, stop: int, kept: int) -> list[Edit]:
    """The lines between, each as one to be removed, but for the first ones, which are kept."""
    edits = []
    while start < stop:
        end = block.index("\n", start) + 1
        if kept <= 0:
            edits.append(Edit(start, end))
        kept -= 1
        start = end
    return edits
