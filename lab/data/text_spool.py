"""A temporary file of a text as it is read, so that what is costly to clean or to make is cleaned or made once."""

import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lab.data.document_part import DocumentPart

HEAD = struct.Struct("<q?I")
"""Of each part: `DocumentPart.read`, `DocumentPart.starts`, and the bytes of its text that follow."""


class TextSpool:
    """The parts of one whole reading. The file has no name, so that nothing is left of it whatever happens."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` is where its file lies, or None for the system's folder of temporary files."""
        self._folder = folder
        self._file = -1
        self.whole = False
        """True once a reading to the end was recorded."""

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)

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
        at = 0
        while head := os.pread(self._file, HEAD.size, at):
            read, starts, size = HEAD.unpack(head)
            text = os.pread(self._file, size, at + HEAD.size).decode()
            at += HEAD.size + size
            yield DocumentPart(text, read, starts)

    def _write(self, part: DocumentPart, at: int) -> int | None:
        data = part.text.encode()
        rest = memoryview(HEAD.pack(part.read, part.starts, len(data)) + data)
        try:
            if self._file < 0:
                with tempfile.TemporaryFile(dir=self._folder) as file:
                    self._file = os.dup(file.fileno())
            while rest:
                written = os.pwrite(self._file, rest, at)
                rest, at = rest[written:], at + written
        except OSError:
            return None
        return at
