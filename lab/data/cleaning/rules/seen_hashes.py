"""A set of 64-bit hashes in a compact table, for texts of which a Python set would not fit into memory."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

MOST_SLOTS = 1 << 25
"""Slots of 8 bytes in the largest table: 268 MB."""
FULL = 0.8
"""Share of the slots that are used before a table grows, or is full."""


def text_hashes(texts: Iterable[str]) -> Hashes:
    """The first 64 bits of each text's BLAKE2b, the same in every process."""
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, np.uint64)


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
