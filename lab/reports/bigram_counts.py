"""Counts of a text's tokens and token pairs: its unigram and bigram entropy, and the loss of both on another text."""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

MOST_COUNTERS = 1 << 22
"""Up to so many possible pairs each has its counter, which is quicker than sorting the pairs that occur."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class BigramCounts:
    """Counts of a text of at least two tokens."""

    vocab_size: int
    tokens: Array
    """Of each token (V)."""
    first: Array
    """Of each token as the first of a pair (V): `tokens` without the text's last."""
    pairs: Array
    """The pairs that occur, each as first × V + second, ascending."""
    pair_counts: Array
    """Of each of `pairs`."""

    @classmethod
    def of(cls, ids: Array, vocab_size: int) -> Self:
        """Count; each id is below `vocab_size`."""
        first = ids[:-1].astype(np.int64)
        pairs = first * vocab_size + ids[1:]
        if vocab_size**2 <= MOST_COUNTERS:
            counters = np.bincount(pairs)
            found = np.flatnonzero(counters)
            counts = counters[found]
        else:
            found, counts = np.unique(pairs, return_counts=True)
        tokens, firsts = (np.bincount(part, minlength=vocab_size) for part in (ids, first))
        return cls(vocab_size, tokens, firsts, found, counts)

    def unigram_entropy(self) -> float:
        """H(token) in nats."""
        return entropy_of_counts(self.tokens)

    def bigram_entropy(self) -> float:
        """H(next | this) = H(this, next) − H(this) in nats."""
        return max(0.0, entropy_of_counts(self.pair_counts) - entropy_of_counts(self.first))

    def unigram_losses(self) -> Array:
        """−ln p of each token (V), in nats; each is counted once more, so that none has p = 0."""
        return np.asarray(-np.log((self.tokens + 1) / (self.tokens.sum() + self.vocab_size)))

    def bigram_losses(self, ids: Array) -> Array:
        """−ln p(next | this) of each token of another text but its first, in nats.

        A pair that the counted text lacks has a probability, too: p = (c(this, next) + T(this) p(next)) / (c(this) + T(this)),
        where T(this) is the number of different tokens after this one (Witten and Bell 1991), and p(next) as in
        `unigram_losses`. After a token that the counted text lacks it is p(next).
        """
        this, following = ids[:-1].astype(np.int64), ids[1:]
        pairs = this * self.vocab_size + following
        at = np.minimum(np.searchsorted(self.pairs, pairs), len(self.pairs) - 1)
        together = np.where(self.pairs[at] == pairs, self.pair_counts[at], 0)
        kinds = np.bincount(self.pairs // self.vocab_size, minlength=self.vocab_size)[this]
        unigram, seen = np.exp(-self.unigram_losses())[following], self.first[this] + kinds
        return -np.log(np.where(seen > 0, (together + kinds * unigram) / np.maximum(seen, 1), unigram))


MOST_TOKENS = 10_000_000
"""Of a longer text only so many are counted: sorting their pairs takes about a second."""


def entropy_of_counts(counts: np.ndarray[Any, Any]) -> float:
    """-Σ p ln p in nats of the relative frequencies p; zeros count nothing."""
    positive = counts[counts > 0].astype(np.float64)
    total = positive.sum()
    return float(math.log(total) - (positive * np.log(positive)).sum() / total) if total else 0.0
