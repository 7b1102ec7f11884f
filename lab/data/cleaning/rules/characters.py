"""Characters: repaired where they were decoded with the wrong encoding, removed where no reader sees them, written in one way."""

import re
from collections.abc import Iterator
from typing import Any
from unicodedata import is_normalized, normalize

from lab.data.cleaning.cleaner import BlockCleaner, Edit, single_bytes

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
