"""Parts of a long text: as they are read, kept in a temporary file, and cut where GPT-2's pattern tokenizes them as the whole."""

import os
import re
import struct
import tempfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import IO, NamedTuple

CHUNK_CHARACTERS = 1 << 18
"""Characters after which a chunk ends at the next place where it may."""
BORDER_WINDOW = 1 << 14
"""Characters in which the better kind of such a place is preferred to a nearer one."""
LONGEST_CHARACTER = 4
"""Bytes of a character in UTF-8, at most."""
LONGEST_CHUNK = 1 << 22
"""Characters after which a chunk ends anywhere: a text with no space, newline or punctuation for so long is then tokenized a
little otherwise around this place than as a whole (still without loss)."""

BORDERS = (
    (re.compile(r"(?<=\S)\n(?=\S)"), "end"),
    (re.compile(r"[ \n\t](?=\S)"), "start"),
    (re.compile(r"(?<=[^\W\d_])[.,;:!?…。，、；：！？]"), "start"),
)
"""Places where GPT-2's pattern always splits, and would split a text that ends or begins there alike, best first: after a
single newline; before the last character of any whitespace, which goes with what follows; before punctuation that follows a
letter."""


def split_into_chunks(
    texts: Iterable[str], size: int = CHUNK_CHARACTERS, window: int = BORDER_WINDOW, longest: int = LONGEST_CHUNK
) -> Iterator[str]:
    """`texts`, joined, in parts of at least `size` characters (but for the last) and at most `longest`, split where that does
    not change how the text is tokenized by GPT-2's pattern. Only `longest` forces a split elsewhere. Where the borders lie
    does not depend on the parts of `texts`.
    """
    buffer = ""
    searched = size
    for text in texts:
        buffer += text
        while len(buffer) > min(searched + window, longest):
            end = _border(buffer, searched, searched + window)
            if end is None and searched + window < longest:
                searched += window
                continue
            end = longest if end is None or end > longest else end
            yield buffer[:end]
            buffer, searched = buffer[end:], size
    if buffer:
        yield buffer


def _border(text: str, start: int, stop: int) -> int | None:
    for pattern, side in BORDERS:
        if match := pattern.search(text, start, stop + 1):
            return match.start() if side == "start" else match.end()
    return None


BLANK_LINE = re.compile(r"(?<=\n)\n(?=\S)")
"""A border before the last newline of a blank line, which begins the next paragraph: GPT-2's pattern takes it by itself."""


def border_in(data: bytes, here: int, window: int, *, first: bool = False) -> int | None:
    """The best border of a text at `here` or up to `window` bytes after it, or, with `first`, the first of any kind.

    `data` has at least four bytes more on each side, or ends where the text does.
    """
    start = max(0, here - LONGEST_CHARACTER)
    text = data[start : here + window + LONGEST_CHARACTER].decode("utf-8", "surrogateescape")
    at = len(data[start:here].decode("utf-8", "surrogateescape"))
    found = []
    for pattern, side in ((BLANK_LINE, "start"), *BORDERS):
        if match := pattern.search(text, at if side == "start" else max(0, at - 1)):
            place = match.start() if side == "start" else match.end()
            offset = start + len(text[:place].encode("utf-8", "surrogateescape"))
            if here <= offset <= here + window:
                found.append(offset)
                if not first:
                    break
    return min(found, default=None)


class DocumentPart(NamedTuple):
    """A part of a document's text. A file is one document; so is a built-in text, and standard input."""

    text: str
    read: int
    """Bytes of the whole source that have been read so far, as they lie in its files."""
    starts: bool
    """True for the first part of a document. Each document has one such part, which may be empty."""


def by_document(parts: Iterable[DocumentPart]) -> Iterator[Iterator[DocumentPart]]:
    """The parts of each document in turn."""
    number = 0

    def number_of(part: DocumentPart) -> int:
        nonlocal number
        number += part.starts
        return number

    return (document for _, document in groupby(parts, number_of))


HEAD = struct.Struct("<q?I")
"""Of each part: `DocumentPart.read`, `DocumentPart.starts`, and the bytes of its text that follow."""


class TextSpool:
    """The parts of one whole reading. The file has no name, so that nothing is left of it whatever happens."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` is where its file lies, or None for the system's folder of temporary files."""
        self._folder = folder
        self._file: IO[bytes] | None = None
        self.whole = False
        """True once a reading to the end was recorded."""

    def record(self, parts: Iterator[DocumentPart]) -> Iterator[DocumentPart]:
        """`parts`, recorded on the way. A disk that is full ends the recording, not the reading."""
        at: int | None = 0
        for part in parts:
            if at is not None:
                at = self._write(part, at)
            yield part
        self.whole = at is not None

    def parts(self) -> Iterator[DocumentPart]:
        """The parts as they were recorded."""
        assert self._file is not None
        number, at = self._file.fileno(), 0
        while head := os.pread(number, HEAD.size, at):
            read, starts, size = HEAD.unpack(head)
            text = os.pread(number, size, at + HEAD.size).decode()
            at += HEAD.size + size
            yield DocumentPart(text, read, starts)

    def _write(self, part: DocumentPart, at: int) -> int | None:
        data = part.text.encode()
        rest = memoryview(HEAD.pack(part.read, part.starts, len(data)) + data)
        try:
            self._file = self._file or tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
            while rest:
                written = os.pwrite(self._file.fileno(), rest, at)
                rest, at = rest[written:], at + written
        except OSError:
            return None
        return at
