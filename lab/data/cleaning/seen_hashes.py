"""A set of 64-bit hashes in an array, for texts of which a Python set would not fit into memory; hashes of texts, and of
their runs of words (MinHash)."""

import hashlib
from collections.abc import Iterable
from itertools import chain
from typing import Any
from zlib import crc32

import numpy as np

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

MOST_HASHES = 26_800_000
"""Hashes that are kept at most, of 8 bytes each: 214 MB."""
MOST_NEW = 1 << 18
"""New hashes from which on they are merged into the others."""

RUN_WORDS = 5
BANDS = 14
BAND_HASHES = 8
"""As FineWeb has them: two texts with a similarity s fall into one band with probability 1 − (1 − s^8)^14: 77% at s = 0.75,
5% at 0.5, 99.9% at 0.9."""
MULTIPLIER = 0x9E3779B97F4A7C15
"""Odd, with its bits spread: 2^64 over the golden ratio."""


def text_hashes(texts: Iterable[str]) -> Hashes:
    """The first 64 bits of each text's BLAKE2b, the same in every process."""
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, np.uint64)


def min_hashes(texts: list[list[bytes]]) -> Hashes:
    """One hash for each band of MinHash values of each text's runs of words, (n, BANDS), in which its number counts, so that only
    like bands meet. The permutations are datasketch's in its scheme "affine32", the hashes of runs are made of those of words."""
    lengths = np.array(list(map(len, texts)))
    ends = np.cumsum(lengths)
    words = np.zeros(ends[-1] + RUN_WORDS, np.uint64)
    words[: ends[-1]] = np.fromiter(map(crc32, chain.from_iterable(texts)), np.uint64, ends[-1])
    runs = np.zeros(ends[-1], np.uint64)
    for offset in range(RUN_WORDS):
        runs = (runs + words[offset : offset + len(runs)]) * np.uint64(MULTIPLIER)
    mixed = (runs >> np.uint64(32)).astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):  # MurmurHash3's finalizer
        mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
    random = np.random.RandomState(1)
    factors = random.randint(0, 1 << 31, BANDS * BAND_HASHES, np.uint32) * np.uint32(2) + np.uint32(1)
    bounds = np.stack((ends - lengths, ends - RUN_WORDS + 1), 1).ravel()  # a run over the end of a text counts for none
    hashes: Hashes = np.tile(np.arange(1, BANDS + 1, dtype=np.uint64), (len(texts), 1))
    permuted = np.empty_like(mixed)
    for at, summand in enumerate(random.randint(0, 1 << 32, BANDS * BAND_HASHES, np.uint32)):
        np.add(np.multiply(mixed, factors[at], permuted), summand, permuted)
        band = hashes[:, at // BAND_HASHES]
        band += np.minimum.reduceat(permuted, bounds)[::2]
        band *= np.uint64(MULTIPLIER)
        band ^= band >> np.uint64(32)
    return hashes


class SeenHashes:
    """A sorted array, and a smaller one for new hashes, which is merged into it when it is long. Full, it still finds what is in
    it, and takes in no more.

    Two texts are taken for the same if their hashes are: among 25 million, the chance of one such mistake is about 1 in 60,000.
    """

    def __init__(self, most: int = MOST_HASHES) -> None:
        self._most = most
        self._sorted: Hashes = np.empty(0, np.uint64)
        self._new: Hashes = np.empty(0, np.uint64)
        self.is_full = False

    def add(self, hashes: Hashes) -> Flags:
        """True for each hash that was taken in before, now or earlier among these. The others are taken in, in their order, as
        far as there is room."""
        unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        known = _holds(self._sorted, unique) | _holds(self._new, unique)
        unknown = np.flatnonzero(~known)
        room = self._most - len(self._sorted) - len(self._new)
        self.is_full = self.is_full or len(unknown) > room
        taken_in = np.sort(unknown[np.argsort(first[unknown])[:room]])
        self._new = _merged(self._new, unique[taken_in])
        if len(self._new) > MOST_NEW:
            self._sorted, self._new = _merged(self._sorted, self._new), self._new[:0]
        known[taken_in] = True
        seen = known[inverse]
        seen[first[taken_in]] = False
        return seen


def _holds(sorted_hashes: Hashes, hashes: Hashes) -> Flags:
    at = np.searchsorted(sorted_hashes, hashes)
    found = at < len(sorted_hashes)
    found[found] = sorted_hashes[at[found]] == hashes[found]
    return found


def _merged(one: Hashes, other: Hashes) -> Hashes:
    return np.insert(one, np.searchsorted(one, other), other)
