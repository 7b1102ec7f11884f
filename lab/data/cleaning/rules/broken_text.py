"""Broken text: repair what was decoded with the wrong encoding (mojibake), with ftfy (Speer, 2019)."""

import re
from typing import Any

from lab.data.cleaning.cleaner import BlockCleaner, Edit

_DIFFERENCE = re.compile(r"[^\s]+|\s+")


class BrokenText(BlockCleaner):
    """Repairs a line in which ftfy finds sequences of characters that only a wrong encoding makes."""

    def edits(self, block: str) -> list[Edit]:
        if block.isascii():
            return []
        from ftfy import TextFixerConfig, fix_encoding
        from ftfy.badness import BADNESS_RE

        config = TextFixerConfig(explain=False)
        edits: list[Edit] = []
        end = 0
        for bad in BADNESS_RE.finditer(block):
            if bad.start() < end:
                continue
            start = block.rfind("\n", 0, bad.start()) + 1
            end = block.find("\n", bad.start())
            end = len(block) if end < 0 else end
            line = block[start:end]
            edits += _word_edits(line, fix_encoding(line, config), start)
        return edits


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
