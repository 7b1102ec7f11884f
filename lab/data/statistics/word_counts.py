"""Words of a text: runs of letters and marks, in lower case, of scripts that put spaces between words."""

import numpy as np
from numpy.typing import NDArray

from lab.data.statistics.character_classes import CharacterTables
from lab.data.statistics.hash_counts import HashCounts
from lab.data.statistics.text_hashes import Hashes

MOST_WORDS = 1 << 20
"""Distinct words that are counted exactly, in about 32 MB."""
TOP_WORDS = 60
SHOWN_CHARACTERS = 100
APOSTROPHES = (0x27, 0x2019)
"""Part of a word where letters stand on both sides: don't."""


class WordCounts:
    """Fed with the blocks of a text in turn; no word goes on from one block to the next."""

    def __init__(self, tables: CharacterTables, most: int = MOST_WORDS) -> None:
        self.spaced = 0
        """Words between white space, as `wc -w` counts them."""
        self.words = 0
        """Words as runs of letters."""
        self.table = HashCounts(most, TOP_WORDS)
        self._tables = tables
        self._in_word = False

    def add(self, codes: NDArray[np.integer], first: int, prefixes: Hashes, inverses: Hashes) -> None:
        """Count a block's words; `prefixes` are of the text in lower case."""
        self._count_spaced(codes)
        starts, ends = self._borders(codes)
        self.words += len(starts)
        hashes = (prefixes[ends] - prefixes[starts]) * inverses[starts]
        lower = self._tables.lower

        def text_of(word: int) -> str:
            start = int(starts[word])
            return "".join(map(chr, lower[codes[start : min(int(ends[word]), start + SHOWN_CHARACTERS)]].tolist()))

        self.table.add(hashes, starts + first, ends - starts, text_of)

    def _count_spaced(self, codes: NDArray[np.integer]) -> None:
        space = self._tables.is_space[codes]
        self.spaced += int(np.count_nonzero(space[:-1] & ~space[1:])) + int(not space[0] and not self._in_word)
        self._in_word = not space[-1]

    def _borders(self, codes: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Starts and ends of the words of a block."""
        inside = np.zeros(len(codes) + 2, np.bool_)
        letters = self._tables.in_word[codes]
        inside[1:-1] = letters
        for apostrophe in APOSTROPHES:
            at = np.flatnonzero(codes == apostrophe)
            inside[at[inside[at] & inside[at + 2]] + 1] = True
        changes = np.flatnonzero(inside[1:] != inside[:-1])
        return changes[0::2], changes[1::2]
