"""Lines of a text: how many, how long, and which occur more than once."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lab.data.statistics.text_hashes import HashCounts, Hashes, mixed

MOST_LINES = 1 << 21
"""Distinct lines that are counted exactly, in about 64 MB."""
LONGEST_COUNTED = 1 << 13
"""Line lengths up to this are counted each by itself, longer ones by powers of two."""
TOP_LINES = 40
SHOWN_CHARACTERS = 200
"""Characters kept of a line that is shown."""

TextOf = Callable[[int], str]
"""Gives the text of a line by its number among those that are counted."""


class LineCounts:
    """Fed with the blocks of a text in turn. A line ends at "\\n"; the rest after the last one is a line too."""

    def __init__(self, most: int = MOST_LINES) -> None:
        self.lines = 0
        self.empty = 0
        """Lines with no character."""
        self.characters = 0
        """Characters of all lines, without their newlines."""
        self.longest = 0
        self.lengths: NDArray[np.int64] = np.zeros(LONGEST_COUNTED, np.int64)
        self.longer: NDArray[np.int64] = np.zeros(64, np.int64)
        """Number of longer lines by the bits of their length."""
        self.table = HashCounts(most, TOP_LINES, least=2)
        self._start = 0
        self._start_prefix = np.uint64(0)
        self._start_inverse = np.uint64(1)
        self._begun = ""
        """The beginning of the line that is not at its end yet."""

    def add(self, block: str, first: int, codes: NDArray[np.integer], prefixes: Hashes, inverses: Hashes) -> None:
        """Count the lines that end in a block, which begins at character `first`."""
        ends = np.flatnonzero(codes == 10)
        if len(ends):
            starts = np.concatenate(([self._start - first], ends[:-1] + 1))
            lengths = ends - starts
            hashes = np.empty(len(ends), np.uint64)
            hashes[:1] = (prefixes[ends[:1]] - self._start_prefix) * self._start_inverse
            hashes[1:] = (prefixes[ends[1:]] - prefixes[starts[1:]]) * inverses[starts[1:]]
            begun = self._begun

            def text_of(line: int) -> str:
                start, end = int(starts[line]), int(ends[line])
                text = block[max(0, start) : min(end, max(0, start) + SHOWN_CHARACTERS)]
                return (begun + text)[:SHOWN_CHARACTERS] if line == 0 else text

            self._count(hashes, starts + first, lengths, text_of)
            self._start = first + int(ends[-1]) + 1
            self._start_prefix, self._start_inverse = prefixes[ends[-1] + 1], inverses[ends[-1] + 1]
            self._begun = block[ends[-1] + 1 :][:SHOWN_CHARACTERS]
        else:
            self._begun = (self._begun + block[:SHOWN_CHARACTERS])[:SHOWN_CHARACTERS]

    def finish(self, end: int, prefix: np.uint64) -> None:
        """Count the last line, if the text does not end in a newline."""
        if end > self._start:
            value = (np.array([prefix]) - self._start_prefix) * self._start_inverse
            begun = self._begun
            self._count(value, np.array([self._start]), np.array([end - self._start]), lambda _: begun)
            self._start = end

    def _count(self, hashes: Hashes, starts: NDArray[np.int64], lengths: NDArray[np.int64], text_of: TextOf) -> None:
        self.lines += len(lengths)
        self.characters += int(lengths.sum())
        self.longest = max(self.longest, int(lengths.max()))
        short = lengths < LONGEST_COUNTED
        self.lengths += np.bincount(lengths[short], minlength=LONGEST_COUNTED)
        for length in lengths[~short].tolist():
            self.longer[length.bit_length()] += 1
        full = lengths > 0
        self.empty += len(lengths) - int(full.sum())
        places = np.flatnonzero(full)
        keys = mixed(hashes[full] ^ lengths[full].astype(np.uint64))
        self.table.add(keys, starts[full], lengths[full], lambda at: text_of(int(places[at])))

    @property
    def repeated(self) -> int:
        """Lines with text that already stood earlier, character for character."""
        return int((self.table.counts - 1).sum())

    @property
    def repeated_characters(self) -> int:
        return int(((self.table.counts - 1) * self.table.lengths).sum())

    @property
    def median(self) -> int | None:
        """Median length; of an even number, the lower of the two in the middle. None where it is not below `LONGEST_COUNTED`."""
        at = int(np.searchsorted(np.cumsum(self.lengths), (self.lines + 1) // 2))
        return at if at < LONGEST_COUNTED else None
