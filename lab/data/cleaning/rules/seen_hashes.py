"""A set of 64-bit hashes in a compact table, for texts of which a Python set would not fit into memory; hashes of words and of
their runs (MinHash)."""

import functools
from typing import Any
from zlib import crc32

import numpy as np

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

MOST_SLOTS = 1 << 25
"""Slots of 8 bytes in the largest table: 268 MB."""
FULL = 0.8
"""Share of the slots that are used before a table grows, or is full."""


RUN_WORDS = 5
BANDS = 14
BAND_HASHES = 8
"""As FineWeb has them: two texts with a similarity s fall into one band with probability 1 − (1 − s^8)^14: 77% at s = 0.75,
5% at 0.5, 99.9% at 0.9."""
MULTIPLIER = 0x9E3779B97F4A7C15
"""Odd, with its bits spread: 2^64 over the golden ratio."""

LONGEST_WORD = 24
"""Bytes of a word up to which all words are hashed at once, a byte at a time."""
_IN_WORD = np.array([byte >= 0x80 or chr(byte).isalnum() or chr(byte) == "_" for byte in range(256)])


@functools.cache
def _crc_table() -> Any:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> np.uint32(1)) ^ np.uint32(0xEDB88320), table >> np.uint32(1))
    return table


def word_hashes(data: bytes) -> tuple[Any, Hashes]:
    """Beginnings and CRC-32 of the words in UTF-8: runs of ASCII letters, digits and _, and of all other characters."""
    letters = np.frombuffer(data, np.uint8)
    inside = np.zeros(len(letters) + 2, np.bool_)
    inside[1:-1] = _IN_WORD.take(letters)
    changes = np.flatnonzero(inside[1:] != inside[:-1])
    starts, lengths = changes[::2], changes[1::2] - changes[::2]
    sizes = np.minimum(lengths, LONGEST_WORD + 1)
    order = np.argsort(sizes.astype(np.uint8), kind="stable")
    places, values = starts[order], np.full(len(starts), 0xFFFFFFFF, np.uint32)
    for at, done in enumerate(np.cumsum(np.bincount(sizes))[:LONGEST_WORD].tolist()):
        now = values[done:]
        values[done:] = _crc_table().take(letters.take(places[done:] + at) ^ now.astype(np.uint8)) ^ (now >> np.uint32(8))
    hashes = np.empty(len(values), np.uint64)
    hashes[order] = ~values
    for at in np.flatnonzero(lengths > LONGEST_WORD).tolist():
        hashes[at] = crc32(data[starts[at] : starts[at] + lengths[at]])
    return starts, hashes


def min_hashes(hashes: Hashes, firsts: Any, counts: Any) -> Hashes:
    """One hash for each band of MinHash values, (n, BANDS), in which its number counts, so that only like bands meet: of the runs
    of words that begin at each of these first ones, so many. The permutations are datasketch's in its scheme "affine32"."""
    runs = np.zeros(len(hashes) - RUN_WORDS + 1, np.uint64)
    for offset in range(RUN_WORDS):
        runs = (runs + hashes[offset : offset + len(runs)]) * np.uint64(MULTIPLIER)
    borders = np.zeros(len(runs) + 1, np.int8)
    borders[firsts], borders[firsts + counts] = 1, -1
    mixed = (runs[np.cumsum(borders[:-1], dtype=np.int8) > 0] >> np.uint64(32)).astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):  # MurmurHash3's finalizer
        mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
    random = np.random.RandomState(1)
    factors = random.randint(0, 1 << 31, BANDS * BAND_HASHES, np.uint32) * np.uint32(2) + np.uint32(1)
    summands = random.randint(0, 1 << 32, BANDS * BAND_HASHES, np.uint32)
    signatures, permuted = np.empty((BANDS * BAND_HASHES, len(counts)), np.uint32), np.empty_like(mixed)
    for signature, factor, summand in zip(signatures, factors, summands, strict=True):
        np.add(np.multiply(mixed, factor, permuted), summand, permuted)
        np.minimum.reduceat(permuted, np.cumsum(counts) - counts, out=signature)
    values = signatures.T.astype(np.uint64).reshape(len(counts), BANDS, BAND_HASHES)
    hashes = np.broadcast_to(np.arange(1, BANDS + 1, dtype=np.uint64), values.shape[:2])
    for at in range(BAND_HASHES):
        hashes = (hashes + values[:, :, at]) * np.uint64(MULTIPLIER)
        hashes = hashes ^ (hashes >> np.uint64(32))
    return np.where(hashes == 0, np.uint64(1), hashes)


class SeenHashes:
    """Open addressing with linear probing. A full table still finds what is in it, and takes in no more.

    Two texts are taken for the same if their hashes are: among 25 million, the chance of one such mistake is about 1 in 60,000.
    """

    def __init__(self, most_slots: int = MOST_SLOTS) -> None:
        self._most_slots = most_slots
        self._table: Hashes = np.zeros(min(1 << 12, most_slots), np.uint64)
        self._used = 0
        self.is_full = False

    def add(self, hashes: Hashes) -> Flags:
        """True for each hash that was taken in before, now or earlier among these. The others are taken in, in their order, as
        far as there is room."""
        hashes = np.where(hashes == 0, np.uint64(1), hashes)  # 0 is an empty slot
        unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        known = self.has(unique)
        new = np.flatnonzero(~known)
        new = new[np.argsort(first[new])]
        taken_in = new[: self._room(len(new))]
        self._insert(unique[taken_in])
        known[taken_in] = True
        seen = known[inverse]
        seen[first[taken_in]] = False
        return seen

    def has(self, hashes: Hashes) -> Flags:
        """True for each hash in the table; no hash may be 0."""
        found = np.zeros(len(hashes), np.bool_)
        waiting = np.arange(len(hashes))
        mask = np.uint64(len(self._table) - 1)
        slots = hashes & mask
        while len(waiting):
            there = self._table[slots]
            found[waiting[there == hashes[waiting]]] = True
            go_on = (there != 0) & (there != hashes[waiting])
            waiting, slots = waiting[go_on], (slots[go_on] + np.uint64(1)) & mask
        return found

    def _room(self, wanted: int) -> int:
        """Make room for so many more, as far as the table may grow."""
        while self._used + wanted > FULL * len(self._table) and len(self._table) < self._most_slots:
            old = self._table[self._table != 0]
            self._table = np.zeros(2 * len(self._table), np.uint64)
            self._used = 0
            self._insert(old)
        room = int(FULL * len(self._table)) - self._used
        self.is_full = self.is_full or room < wanted
        return max(0, min(room, wanted))

    def _insert(self, hashes: Hashes) -> None:
        """Put hashes that are all different, and not in the table yet, into it."""
        self._used += len(hashes)
        mask = np.uint64(len(self._table) - 1)
        slots = hashes & mask
        while len(hashes):
            free = self._table[slots] == 0
            self._table[slots[free]] = hashes[free]  # of several for one slot, the last wins
            lost = self._table[slots] != hashes
            hashes, slots = hashes[lost], (slots[lost] + np.uint64(1)) & mask
