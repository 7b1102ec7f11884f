"""Split a long text into chunks that GPT-2's pattern tokenizes as it does the whole text."""

import re
from collections.abc import Iterable, Iterator

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
