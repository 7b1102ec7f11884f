r"""Line ends: every line ends in \n, and of a run of blank lines one stays, or two after a line of code."""

import re
from itertools import islice

from lab.data.cleaning.cleaner import STATEMENT, BlockCleaner, Cleaner, CodeLines, Edit, LineRun, Passage, passages_of, utf8_bytes

ALONE = 2
"""Line ends of a part that are passages of their own; the others are counted together, since every line may have one."""

_RETURN = re.compile(r"\r\n?")


class LineEndings(Cleaner):
    r"""Changes \r\n and a lone \r into \n."""

    def __init__(self) -> None:
        self._held = ""
        r"""A \r at the end of a part, which may go with an \n."""

    def feed(self, text: str, last: bool) -> list[Passage]:
        text, self._held = self._held + text, ""
        if not last and text.endswith("\r"):
            text, self._held = text[:-1], "\r"
        edits = [Edit(found.start(), found.end(), "\n") for found in islice(_RETURN.finditer(text), ALONE)]
        end = edits[-1].stop if edits else 0
        passages = passages_of(text[:end], edits)
        rest = text[end:]
        if "\r" in rest:
            pairs = rest.count("\r\n")
            lone = rest.count("\r") - pairs
            after = rest.replace("\r\n", "\n").replace("\r", "\n")
            passages.append(Passage(rest, after, "", pairs + lone, utf8_bytes(rest) - 2 * pairs - lone))
        elif rest:
            passages.append(Passage(rest, rest))
        return passages


_RUN = LineRun(r"[^\S\n]*\n(?:[^\S\n]*\n)+")
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
        for start, stop in _RUN.spans(block, at):
            edits += _lines(block, start, stop, self._room_after(block, start))
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
