"""A text in blocks whose borders depend on the text alone, with its line endings counted and made "\\n"."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

BLOCK_CHARACTERS = 1 << 19
"""Characters of a block: long enough for numpy, and its arrays stay within some 30 MB."""

Part = tuple[str, int, bool]
"""Text, how many bytes have been read so far, and True where a new document starts."""


@dataclass
class LineEndCounts:
    """The count of each line ending in the text as it was read."""

    lf: int = 0
    crlf: int = 0
    cr: int = 0


class TextBlocks:
    """Iterates over a text's blocks. A block ends after a line or a word, if one ends in its last quarter.

    Two documents never share a line: where the first does not end in a newline, one is put between them, and counted in `added`.
    """

    def __init__(self, parts: Iterable[Part], size: int = BLOCK_CHARACTERS) -> None:
        self.endings = LineEndCounts()
        self.bytes = 0
        """Bytes of the text so far, in UTF-8, as it was before line endings were made alike."""
        self.added = 0
        self.read = 0
        """Bytes that have been read, as `parts` counts them."""
        self.document_bytes: list[int] = []
        """Bytes of each document, in UTF-8."""
        self._parts = parts
        self._size = size

    def __iter__(self) -> Iterator[str]:
        waiting = ""
        for text in self._unified():
            waiting += text
            if len(waiting) < self._size:
                continue
            start = 0
            while len(waiting) - start >= self._size:
                end = self._border(waiting, start)
                yield waiting[start:end]
                start = end
            waiting = waiting[start:]
        if waiting:
            yield waiting

    def _border(self, text: str, start: int) -> int:
        earliest, latest = start + self._size * 3 // 4, start + self._size
        at = max(text.rfind("\n", earliest, latest), 0) or text.rfind(" ", earliest, latest)
        return at + 1 if at > 0 else latest

    def _unified(self) -> Iterator[str]:
        newlines = io.IncrementalNewlineDecoder(None, translate=True)
        last = ""
        for text, read, starts in self._parts:
            self.read = read
            if starts:
                self.document_bytes.append(0)
                if rest := newlines.decode("", final=True):
                    yield rest
                if last and last not in "\r\n":
                    self.added += 1
                    yield "\n"
                last = ""
            if not text:
                continue
            self._count_endings(text, last)
            size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
            self.bytes += size
            self.document_bytes[-1] += size
            last = text[-1]
            yield newlines.decode(text)
        if rest := newlines.decode("", final=True):
            yield rest

    def _count_endings(self, text: str, before: str) -> None:
        newlines = text.count("\n")
        if "\r" not in text and before != "\r":
            self.endings.lf += newlines
            return
        pairs = text.count("\r\n")
        if before == "\r" and text[0] == "\n":  # the pair lies across two parts
            pairs += 1
            self.endings.cr -= 1
            returns = text.count("\r") - pairs + 1
        else:
            returns = text.count("\r") - pairs
        self.endings.crlf += pairs
        self.endings.lf += newlines - pairs
        self.endings.cr += returns
