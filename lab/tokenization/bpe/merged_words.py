"""Distinct words as token ids in one flat array, in which a pair of neighbours is merged everywhere at once, and split again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TokenIds = NDArray[np.int32]
Places = NDArray[np.int64]

BORDER = -1
"""Stands between two words, so that no pair reaches across."""
INSIDE = -2
"""Stands where a byte belongs to a token but is not its first one (in `first`) or not its last one (in `last`)."""
PAIR_SHIFT = 32
"""A pair of ids is one number, `left << 32 | right`: sorted numbers are pairs in the order of their left, then their right id."""
COUNTED_PLACES = 1 << 20
"""Bytes whose pairs are counted at a time, which bounds the memory that it takes."""


def pair_of(key: int) -> tuple[int, int]:
    """The pair of ids of that number."""
    return key >> PAIR_SHIFT, key & ((1 << PAIR_SHIFT) - 1)


@dataclass(frozen=True)
class PairChanges:
    """Changes of pair counts, one entry per pair."""

    keys: NDArray[np.int64]
    changes: NDArray[np.int64]


class MergedWords:
    """Words that start as single bytes. Each byte keeps its place; a token lies over the places of its bytes.

    `first[p]` is the id of the token that starts at place p, `last[p]` that of the token that ends there. So a token's neighbours
    are found from its length alone, no array is ever made shorter, and splitting a token again restores exactly what was there.
    A word counts as often as it occurs in the text: `weights` has that count at each of its places.
    """

    def __init__(self, words: Sequence[bytes], counts: Sequence[int]) -> None:
        lengths = np.fromiter((len(word) + 1 for word in words), np.int64, len(words))
        flat = np.frombuffer(b"\0" + b"\0".join(words) + b"\0" if words else b"\0", np.uint8)
        self.first: TokenIds = flat.astype(np.int32)
        self.first[np.concatenate([[0], np.cumsum(lengths)])] = BORDER
        self.last: TokenIds = self.first.copy()
        self.weights: NDArray[np.int64] = np.concatenate([[0], np.repeat(np.asarray(counts, np.int64), lengths)])
        self.lengths: NDArray[np.int64] = np.ones(256, np.int64)
        """Bytes of each token; room for more is made in advance."""

    def tokens(self) -> int:
        """Tokens in the text: those of each word, as often as the word occurs."""
        return int(self.weights[self.first >= 0].sum())

    def ids(self) -> list[int]:
        """The tokens of all words, one word after another."""
        ids: list[int] = self.first[self.first >= 0].tolist()
        return ids

    def byte_pairs(self) -> PairChanges:
        """Every pair of neighbours and its count, before the first merge."""
        counts = np.zeros(1 << 16, np.int64)
        for at in range(0, len(self.first) - 1, COUNTED_PLACES):
            lefts = self.first[at : at + COUNTED_PLACES]
            rights = self.first[at + 1 : at + 1 + COUNTED_PLACES]
            lefts = lefts[: len(rights)]
            inside = (lefts >= 0) & (rights >= 0)
            # Sums of weights stay exact as floats: they are far below 2^53.
            weights = self.weights[at : at + len(lefts)][inside]
            counts += np.bincount(lefts[inside] << 8 | rights[inside], weights, counts.size).astype(np.int64)
        found = np.flatnonzero(counts)
        return PairChanges(found >> 8 << PAIR_SHIFT | found & 0xFF, counts[found])

    def merge(self, left: int, right: int, new: int) -> tuple[int, list[PairChanges]]:
        """Replace each `left` followed by `right` by `new`, from left to right: how many tokens the text loses, and the changes
        of pair counts."""
        starts = self._starts_of(left, right)
        seconds = starts + self.lengths[left]
        ends = seconds + self.lengths[right]
        removed = self._around(starts, seconds)
        if new == len(self.lengths):
            self.lengths = np.concatenate([self.lengths, np.zeros_like(self.lengths)])
        self.lengths[new] = self.lengths[left] + self.lengths[right]
        self.first[seconds] = INSIDE
        self.last[seconds - 1] = INSIDE
        self.first[starts] = new
        self.last[ends - 1] = new
        return int(self.weights[starts].sum()), [self._negative(removed), self._around(starts)]

    def split(self, left: int, right: int, new: int) -> tuple[int, list[PairChanges]]:
        """Undo `merge`, which must have been the last one: each `new` is `left` and `right` again."""
        starts = np.flatnonzero(self.first == new)
        seconds = starts + self.lengths[left]
        removed = self._around(starts)
        self.first[starts] = left
        self.last[seconds - 1] = left
        self.first[seconds] = right
        self.last[seconds + self.lengths[right] - 1] = right
        return int(self.weights[starts].sum()), [self._negative(removed), self._around(starts, seconds)]

    def _starts_of(self, left: int, right: int) -> Places:
        """Places at which `left` is followed by `right`. Of overlapping ones (a pair of the same token twice, in a run of it) the
        first, third and so on are taken."""
        starts: Places = np.flatnonzero(self.first == left)
        starts = starts[self.first[starts + self.lengths[left]] == right]
        if left != right or len(starts) < 2:
            return starts
        continues = np.concatenate([[False], np.diff(starts) == self.lengths[left]])
        run_begins = np.flatnonzero(~continues)
        place_in_run = np.arange(len(starts)) - np.repeat(run_begins, np.diff(run_begins, append=len(starts)))
        taken: Places = starts[place_in_run % 2 == 0]
        return taken

    def _after(self, starts: Places) -> Places:
        """The place after each token that starts there."""
        after: Places = starts + self.lengths[self.first[starts]]
        return after

    def _around(self, *starts: Places) -> PairChanges:
        """Counts of all pairs that the tokens at these places belong to, each pair of neighbours counted once."""
        tokens = np.concatenate(starts)
        before = self.last[tokens - 1]
        has_left = before >= 0
        neighbours = tokens[has_left] - self.lengths[before[has_left]]
        lefts = np.unique(np.concatenate([tokens, neighbours]))
        return self._counted(lefts, self._after(lefts))

    def _counted(self, lefts: Places, rights: Places) -> PairChanges:
        """Counts of the pairs whose tokens start at these places."""
        right_ids = self.first[rights]
        inside = right_ids >= 0
        lefts = lefts[inside]
        keys = self.first[lefts].astype(np.int64) << PAIR_SHIFT | right_ids[inside]
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        if not len(keys):
            return PairChanges(keys, keys)
        return PairChanges(keys[starts], np.add.reduceat(self.weights[lefts][order], starts))

    @staticmethod
    def _negative(changes: PairChanges) -> PairChanges:
        return PairChanges(changes.keys, -changes.changes)
