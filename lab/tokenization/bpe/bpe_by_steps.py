"""Learn BPE from counted words, one merge at a time, and step back: the most common pair of neighbours becomes a token.

Byte-pair encoding as Sennrich et al. (2016, algorithm 1) learn it, on bytes (Radford et al. 2019, section 2.2). The merges are
those that `Tokenizer.train` learns with rustbpe, in the same order, ties included.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab.tokenization.bpe.merged_words import MergedWords, PairChanges, pair_of


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
