"""Runs of blank lines: one of them stays."""

import re

from lab.data.cleaning.cleaner import BlockCleaner, Edit

_RUN = re.compile(r"^[^\S\n]*\n(?:[^\S\n]*\n)+", re.MULTILINE)
_BEGINNING = re.compile(r"(?:[^\S\n]*\n)+")


class BlankLines(BlockCleaner):
    """Removes each blank line that follows another. A line of spaces and tabs alone is blank."""

    def begin_document(self) -> None:
        self._after_blank = False

    def edits(self, block: str) -> list[Edit]:
        edits = []
        at = block.find("\n") + 1 or len(block) if self.mid_line else 0
        if self._after_blank and (beginning := _BEGINNING.match(block)):
            at = beginning.end()
            edits = _lines(block, 0, at)
        for run in _RUN.finditer(block, at):
            edits += _lines(block, block.index("\n", run.start()) + 1, run.end())
        line = block.rfind("\n", 0, len(block) - 1) + 1
        self._after_blank = block.endswith("\n") and not block[line:].strip() and not (self.mid_line and not line)
        return edits


def _lines(block: str, start: int, stop: int) -> list[Edit]:
    """The lines between, each as one to be removed."""
    edits = []
    while start < stop:
        end = block.index("\n", start) + 1
        edits.append(Edit(start, end))
        start = end
    return edits
