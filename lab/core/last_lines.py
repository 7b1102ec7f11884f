"""Read a file's lines from its end backwards."""

import os
from collections.abc import Iterator
from typing import BinaryIO

BLOCK_BYTES = 64 * 1024
"""Bytes that are read at once. A line that is longer than four of them is cut."""


def lines_backwards(file: BinaryIO, start: int = 0, most: int = 1 << 62) -> Iterator[bytes]:
    """The whole lines after about byte `start` and in about the last `most` bytes, the last first.

    Text after the last newline is left out. The line nearest to `start` may lack its beginning.
    """
    end = os.fstat(file.fileno()).st_size
    start = max(start, end - most)
    rest: bytes | None = None
    while end > start:
        begin = max(0, end - BLOCK_BYTES)
        file.seek(begin)
        block = file.read(end - begin)
        first, *lines = (block if rest is None else block + rest).split(b"\n")
        if rest is None and lines:
            lines.pop()
        yield from reversed(lines)
        rest, end = first[: 4 * BLOCK_BYTES] if rest is not None or b"\n" in block else None, begin
    if rest:
        yield rest


def last_text_line(file: BinaryIO, start: int = 0, most: int = BLOCK_BYTES) -> str:
    """The last line that is not blank after byte `start`, whether or not a newline ends it; empty where there is none."""
    file.seek(max(start, os.fstat(file.fileno()).st_size - most))
    lines = file.read(most).decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
