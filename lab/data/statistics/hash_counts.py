"""Counts of hashed items, such as words or lines, in bounded memory."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lab.data.statistics.text_hashes import Hashes

MOST_TEXTS = 1 << 15
"""Texts that are kept at most before all but the most common are dropped."""


class HashCounts:
    """The count of each item, its first place and its length; the texts of the most common ones.

    Counts are exact for as many as `most` distinct items. Beyond that the rarest are forgotten, after which a count may be too
    low by at most `error`.
    """

    def __init__(self, most: int, top: int, least: int = 1) -> None:
        """Keep the texts of the `top` most common items that occurred at least `least` times."""
        self.hashes: Hashes = np.empty(0, np.uint64)
        self.counts: NDArray[np.int64] = np.empty(0, np.int64)
        self.firsts: NDArray[np.int64] = np.empty(0, np.int64)
        self.lengths: NDArray[np.int64] = np.empty(0, np.int64)
        self.error = 0
        self._most, self._top, self._least = most, top, least
        self._texts: dict[int, str] = {}

    def add(self, hashes: Hashes, firsts: NDArray[np.int64], lengths: NDArray[np.int64], text_at: Callable[[int], str]) -> None:
        """Count items. `text_at(i)` gives the text of item i."""
        if not len(hashes):
            return
        found, index, counts = np.unique(hashes, return_index=True, return_counts=True)
        at = np.searchsorted(self.hashes, found)
        known = at < len(self.hashes)
        known[known] = self.hashes[at[known]] == found[known]
        self.counts[at[known]] += counts[known]
        totals = counts.astype(np.int64)
        totals[known] = self.counts[at[known]]
        new = ~known
        if new.any():
            self.hashes = np.insert(self.hashes, at[new], found[new])
            self.counts = np.insert(self.counts, at[new], counts[new])
            self.firsts = np.insert(self.firsts, at[new], firsts[index[new]])
            self.lengths = np.insert(self.lengths, at[new], lengths[index[new]])
        if len(self._texts) + np.count_nonzero(totals >= self._least) > MOST_TEXTS and len(self.counts) > self._top:
            self._drop_texts()
        common = np.flatnonzero(totals >= self._least)
        for place in common[: MOST_TEXTS - len(self._texts)].tolist():
            if (key := int(found[place])) not in self._texts:
                self._texts[key] = text_at(int(index[place]))
        if len(self.hashes) > self._most:
            self._forget_rarest()

    def _drop_texts(self) -> None:
        """Keep the texts of the most common items, and of others from now on only if they occur as often. Of very many that do,
        those with the smallest hashes."""
        self._least = max(self._least, int(np.partition(self.counts, -self._top)[-self._top]))
        keys = np.fromiter(self._texts, np.uint64, len(self._texts))
        counts = self.counts[np.searchsorted(self.hashes, keys)]
        kept = keys[counts >= self._least]
        self._texts = {int(key): self._texts[int(key)] for key in np.sort(kept)[: MOST_TEXTS // 2]}

    def _forget_rarest(self) -> None:
        bound = int(np.partition(self.counts, len(self.counts) // 2)[len(self.counts) // 2])
        kept = self.counts > bound
        self.hashes, self.counts = self.hashes[kept], self.counts[kept]
        self.firsts, self.lengths = self.firsts[kept], self.lengths[kept]
        self.error += bound
        present = set(self.hashes.tolist())
        self._texts = {key: text for key, text in self._texts.items() if key in present}

    @property
    def distinct(self) -> int:
        """Number of distinct items; with an `error`, of those that are still counted."""
        return len(self.hashes)

    def most_common(self, number: int) -> list[tuple[str, int]]:
        """The most common items with their counts, then by their text."""
        if not self._texts:
            return []
        keys = np.fromiter(self._texts, np.uint64, len(self._texts))
        counts = self.counts[np.searchsorted(self.hashes, keys)]
        pairs = zip(self._texts.values(), counts.tolist(), strict=True)
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:number]

    def rare(self, number: int) -> list[tuple[int, int]]:
        """Places of items that occurred once, as (first, length): a sample of them, the same each time."""
        once = np.flatnonzero(self.counts == 1)[:number]
        return list(zip(self.firsts[once].tolist(), self.lengths[once].tolist(), strict=True))
