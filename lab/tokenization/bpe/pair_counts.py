"""Counts of the pairs of neighbouring tokens, kept up to date while pairs are merged; the most common one, and ties."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab.tokenization.bpe.merged_words import PairChanges, pair_of


@dataclass(frozen=True)
class RankedPair:
    """A pair of token ids and how often it occurs."""

    left: int
    right: int
    count: int


class PairCounts:
    """A table of pairs. A pair that no longer occurs stays in it with a count of 0."""

    def __init__(self, pairs: PairChanges) -> None:
        self._slots: dict[int, int] = {}
        self._keys: NDArray[np.int64] = np.zeros(1024, np.int64)
        self._counts: NDArray[np.int64] = np.zeros(1024, np.int64)
        self.add(pairs)

    def add(self, changes: PairChanges) -> None:
        """Change the counts of some pairs."""
        slots = np.fromiter((self._slot(key) for key in changes.keys.tolist()), np.int64, len(changes.keys))
        self._counts[slots] += changes.changes

    def most_common(self) -> tuple[RankedPair, int] | None:
        """The pair to merge next, and how many pairs occur as often; None if there is no pair left."""
        counts = self._counts[: len(self._slots)]
        most = int(counts.max()) if len(counts) else 0
        if not most:
            return None
        tied = self._keys[: len(counts)][counts == most]
        return RankedPair(*pair_of(int(tied.min())), most), len(tied)

    def ranked(self, limit: int) -> list[RankedPair]:
        """The `limit` most common pairs, in the order in which they would be merged if nothing changed."""
        keys, counts = self._keys[: len(self._slots)], self._counts[: len(self._slots)]
        if len(counts) > limit:
            least = np.partition(counts, len(counts) - limit)[len(counts) - limit]
            chosen = np.flatnonzero(counts >= max(1, least))
        else:
            chosen = np.flatnonzero(counts)
        order = chosen[np.lexsort((keys[chosen], -counts[chosen]))][:limit]
        return [RankedPair(*pair_of(key), count) for key, count in zip(keys[order].tolist(), counts[order].tolist(), strict=True)]

    def as_dict(self) -> dict[tuple[int, int], int]:
        """Every pair that occurs, and its count."""
        return {pair_of(key): int(self._counts[slot]) for key, slot in self._slots.items() if self._counts[slot]}

    def __len__(self) -> int:
        """Number of different pairs that occur."""
        return int(np.count_nonzero(self._counts))

    def _slot(self, key: int) -> int:
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = len(self._slots)
            if slot == len(self._keys):
                self._keys, self._counts = (np.concatenate([each, np.zeros_like(each)]) for each in (self._keys, self._counts))
            self._keys[slot] = key
        return slot
