"""Characters: repaired where they were decoded with the wrong encoding, removed where no reader sees them, written in one way.

And line ends: every line ends in a newline, and of a run of blank lines one stays, or two after a line of code.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any
from unicodedata import is_normalized, normalize

from lab.data.cleaning.cleaner import (
    STATEMENT,
    BlockCleaner,
    Cleaner,
    CodeLines,
    Edit,
    LineRun,
    Passage,
    passages_of,
    single_bytes,
    utf8_bytes,
)

_DIFFERENCE = re.compile(r"[^\s]+|\s+")


class BrokenText(BlockCleaner):
    """Repairs a line in which ftfy finds sequences of characters that only a wrong encoding makes."""

    def edits(self, block: str) -> list[Edit]:
        if block.isascii():
            return []
        from ftfy import TextFixerConfig, fix_encoding

        config = TextFixerConfig(explain=False)
        edits: list[Edit] = []
        end = -1
        for bad in _bad_sequences(block):
            if bad.start() <= end:
                continue
            start = block.rfind("\n", 0, bad.start()) + 1
            end = block.find("\n", bad.start())
            end = len(block) if end < 0 else end
            line = block[start:end]
            edits += _word_edits(line, fix_encoding(line, config), start)
        return edits


def _bad_sequences(block: str) -> Iterator[re.Match[str]]:
    """The matches of ftfy's pattern, which is slow, in a block that is not ASCII: looked for around characters beyond it. Each
    match has one among its first three characters, and at most two others after its last one."""
    import numpy as np
    from ftfy.badness import BADNESS_RE

    places = np.flatnonzero(np.frombuffer(block.encode("utf-32-le"), np.uint32) >= 0x80)
    gaps = np.flatnonzero(np.diff(places) > 4)
    starts, stops = places[np.append(0, gaps + 1)] - 2, places[np.append(gaps, -1)] + 3
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        yield from BADNESS_RE.finditer(block, max(0, start), stop)


def _word_edits(line: str, repaired: str, offset: int) -> list[Edit]:
    """The words that differ, where both have as many; else what lies between the first and the last difference."""
    if line == repaired:
        return []
    words: list[Any] = list(_DIFFERENCE.finditer(line))
    now = _DIFFERENCE.findall(repaired)
    if len(words) == len(now) and "".join(now) == repaired:
        pairs = zip(words, now, strict=True)
        return [Edit(offset + word.start(), offset + word.end(), new) for word, new in pairs if word[0] != new]
    shorter = min(len(line), len(repaired))
    first = next((at for at in range(shorter) if line[at] != repaired[at]), shorter)
    same = next((at for at in range(shorter - first) if line[-1 - at] != repaired[-1 - at]), shorter - first)
    return [Edit(offset + first, offset + len(line) - same, repaired[first : len(repaired) - same])]


_CONTROLS = re.compile(
    "(?P<colour>\\x1b\\[[0-?]*[ -/]*[@-~]|\\x1b\\][^\\x07\\x1b\\n]{0,500}(?:\\x07|\\x1b\\\\))"  # terminal sequences
    "|(?P<struck>[^\\n\\x08]\\x08)"  # a letter, and a step back over it
    "|(?P<page>(?<=[^\\n\\r])[\\x0b\\x0c\\x85](?=[^\\n\\r]))"  # a line end of another kind
    "|(?P<control>[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f])"
    "|(?P<mark>\\ufeff)"
)
_ANY = bytes({*range(0x20), *range(0x7F, 0xA0)} - set(b"\t\n\r"))
_REASONS = {
    "colour": "terminal sequence",
    "struck": "overstruck letter",
    "page": "page break",
    "control": "control character",
    "mark": "byte-order mark",
}


class ControlCharacters(BlockCleaner):
    """Removes controls other than tab, newline and carriage return, terminal sequences, overstruck letters, as manual pages have
    them, and byte-order marks. A form feed between two words becomes a newline."""

    def edits(self, block: str) -> list[Edit]:
        if len(single_bytes(block).translate(None, _ANY)) == len(block) and "\ufeff" not in block:
            return []
        return [
            Edit(found.start(), found.end(), "\n" if found.lastgroup == "page" else "", _REASONS[found.lastgroup or ""])
            for found in _CONTROLS.finditer(block)
        ]


_RUN = re.compile(r"[^\n\x80-\U0010ffff]?[^\x00-\x7f]+")
"""A run of characters beyond ASCII and the letter that accents before them belong to. Nothing joins across its ends."""


class Nfc(BlockCleaner):
    """Normalizes to NFC. A block ends at a newline, or at a border that `border_before` finds: nothing joins across it."""

    def edits(self, block: str) -> list[Edit]:
        if block.isascii() or is_normalized("NFC", block):
            return []
        return [
            Edit(run.start(), run.end(), now)
            for run in _RUN.finditer(block)
            if not is_normalized("NFC", run[0]) and (now := normalize("NFC", run[0])) != run[0]
        ]


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


_BLANK_LINES = LineRun(r"[^\S\n]*\n(?:[^\S\n]*\n)+")
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
        for start, stop in _BLANK_LINES.spans(block, at):
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
