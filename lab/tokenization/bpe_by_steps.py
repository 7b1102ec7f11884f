"""Learn BPE from counted words, one merge at a time, and step back: the most common pair of neighbours becomes a token.

Byte-pair encoding as Sennrich et al. (2016, algorithm 1) learn it, on bytes (Radford et al. 2019, section 2.2). The merges are
those that `Tokenizer.train` learns with rustbpe, in the same order, ties included. The distinct words are token ids in one flat
array, in which a pair of neighbours is merged everywhere at once, and split again.
"""

from collections.abc import Mapping, Sequence
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
    return divmod(key, 1 << PAIR_SHIFT)


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
        return int(self.weights[starts].sum()), [PairChanges(removed.keys, -removed.changes), self._around(starts)]

    def split(self, left: int, right: int, new: int) -> tuple[int, list[PairChanges]]:
        """Undo `merge`, which must have been the last one: each `new` is `left` and `right` again."""
        starts = np.flatnonzero(self.first == new)
        seconds = starts + self.lengths[left]
        removed = self._around(starts)
        self.first[starts] = left
        self.last[seconds - 1] = left
        self.first[seconds] = right
        self.last[seconds + self.lengths[right] - 1] = right
        return int(self.weights[starts].sum()), [PairChanges(removed.keys, -removed.changes), self._around(starts, seconds)]

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

    def _around(self, *starts: Places) -> PairChanges:
        """Counts of all pairs that the tokens at these places belong to, each pair of neighbours counted once."""
        tokens = np.concatenate(starts)
        before = self.last[tokens - 1]
        has_left = before >= 0
        neighbours = tokens[has_left] - self.lengths[before[has_left]]
        lefts = np.unique(np.concatenate([tokens, neighbours]))
        right_ids = self.first[lefts + self.lengths[self.first[lefts]]]
        inside = right_ids >= 0
        lefts = lefts[inside]
        keys = self.first[lefts].astype(np.int64) << PAIR_SHIFT | right_ids[inside]
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        firsts = np.flatnonzero(np.diff(keys, prepend=-1))
        if not len(keys):
            return PairChanges(keys, keys)
        return PairChanges(keys[firsts], np.add.reduceat(self.weights[lefts][order], firsts))


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


BYTES = 256


@dataclass(frozen=True)
class Merge:
    """A merge as it was learned: the pair, how often it occurred then, and how many pairs occurred as often (1 without a tie)."""

    number: int
    """1 for the first."""
    left: int
    right: int
    count: int
    tied: int
    tokens_left: int
    """Tokens of the text after the merge."""

    @property
    def id(self) -> int:
        """Id of the token that it makes."""
        return BYTES + self.number - 1


class BpeLearner:
    """Words and how often each occurs, as tokens under the merges learned so far.

    All counts are exact for the text that the words come from: a pair is counted at every place where its two tokens are
    neighbours in a word.
    """

    def __init__(self, words: Mapping[str, int]) -> None:
        self.words = MergedWords([word.encode() for word in words], list(words.values()))
        self.pairs = PairCounts(self.words.byte_pairs())
        self.bytes = self.words.tokens()
        """Bytes of the text, each of which is a token before the first merge."""
        self.tokens = self.bytes
        """Tokens of the text now."""
        self.vocabulary = [bytes([byte]) for byte in range(BYTES)]
        """The bytes of each token by its id."""
        self.merges: list[Merge] = []
        """The merges learned so far."""

    def merge(self) -> Merge | None:
        """Merge the most common pair everywhere; None if there is none left."""
        found = self.pairs.most_common()
        if found is None:
            return None
        pair, tied = found
        lost, changes = self.words.merge(pair.left, pair.right, len(self.vocabulary))
        for each in changes:
            self.pairs.add(each)
        self.tokens -= lost
        self.vocabulary.append(self.vocabulary[pair.left] + self.vocabulary[pair.right])
        self.merges.append(Merge(len(self.merges) + 1, pair.left, pair.right, pair.count, tied, self.tokens))
        return self.merges[-1]

    def step_back(self) -> Merge | None:
        """Undo the last merge and return it; None if there is none."""
        if not self.merges:
            return None
        last = self.merges.pop()
        self.vocabulary.pop()
        regained, changes = self.words.split(last.left, last.right, last.id)
        for each in changes:
            self.pairs.add(each)
        self.tokens += regained
        return last
