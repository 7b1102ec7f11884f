"""An estimate of the share of a long text that stands in it twice, from cells of it whose windows are all looked at.

A text has as many windows that stand again later as windows that stood earlier. The later copies of a cell's windows are found in
one pass, as the text after the cell goes by. The cells are drawn by a hash of their place, so that they are spread at random and
each has the same chance.
"""

import numpy as np
from numpy.typing import NDArray

from lab.data.statistics.text_hashes import Hashes, mixed

CELL = 64
"""Characters of a cell."""
MOST_CELLS = 1024
"""Cells that are kept: an error of 4 points at most, in about 7 MB."""
FILTER_BITS = 22
"""Bits of a hash that tell in nearly all cases that a window is not in the sample."""


class CopySample:
    """Fed with the hashes of all windows of a text in turn."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._mask = 0
        self._begins: NDArray[np.int64] = np.empty(0, np.int64)
        """The first window of each cell: the first of those that its first character is in."""
        self._cells: Hashes = np.empty((0, window - 1 + CELL), np.uint64)
        """Hashes of the windows that each cell has a character in."""
        self._hashes: Hashes = np.empty(0, np.uint64)
        """The hashes of all cells, sorted, and where each was seen last."""
        self._last: NDArray[np.int64] = np.empty(0, np.int64)
        self._filter = np.zeros(1 << FILTER_BITS, np.bool_)

    def add(self, first: int, hashes: Hashes) -> None:
        """Take the windows that begin at character `first` and after it. A cell that they do not cover is never drawn."""
        before = self._window - 1
        begins = np.arange(-(-(first + before) // CELL), (first + len(hashes)) // CELL) * CELL - before
        self._draw(begins[self._is_drawn(begins)], first, hashes)
        hits = np.flatnonzero(self._filter[hashes >> np.uint64(64 - FILTER_BITS)])
        at, same = self._known(hashes[hits])
        np.maximum.at(self._last, at[same], hits[same] + first)

    def _known(self, hashes: Hashes) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Places of these hashes in those of all cells, and a mask of the hashes that are there."""
        at = np.searchsorted(self._hashes, hashes)
        return at, np.append(self._hashes, np.uint64(0))[at] == hashes

    def _is_drawn(self, begins: NDArray[np.int64]) -> NDArray[np.bool_]:
        drawn: NDArray[np.bool_] = (mixed(begins.astype(np.uint64)) & np.uint64(self._mask)) == 0
        return drawn

    def _draw(self, begins: NDArray[np.int64], first: int, hashes: Hashes) -> None:
        while len(self._begins) + len(begins) > MOST_CELLS:
            self._mask = 2 * self._mask + 1
            begins, stays = begins[self._is_drawn(begins)], self._is_drawn(self._begins)
            self._begins, self._cells = self._begins[stays], self._cells[stays]
            used = np.isin(self._hashes, self._cells)
            self._hashes, self._last = self._hashes[used], self._last[used]
        cells = hashes[(begins - first)[:, None] + np.arange(self._cells.shape[1])]
        self._begins, self._cells = np.concatenate((self._begins, begins)), np.concatenate((self._cells, cells))
        new = np.unique(cells)
        new = new[~self._known(new)[1]]
        at = np.searchsorted(self._hashes, new)
        self._hashes, self._last = np.insert(self._hashes, at, new), np.insert(self._last, at, 0)
        self._filter[new >> np.uint64(64 - FILTER_BITS)] = True

    def estimate(self) -> tuple[float, float]:
        """The share of the text, and half of its 95% interval."""
        own = self._begins[:, None] + np.arange(self._cells.shape[1])
        again: NDArray[np.bool_] = np.greater(self._last[np.searchsorted(self._hashes, self._cells)], own)
        sums: NDArray[np.int64] = np.concatenate((np.zeros((len(again), 1), np.int64), np.cumsum(again, axis=1)), axis=1)
        shares = (sums[:, self._window :] > sums[:, : -self._window]).mean(axis=1)
        error = 1.96 * shares.std() / np.sqrt(len(shares))
        return float(shares.mean()), float(max(error, 3 / len(shares)))  # 3/n: the 95% bound where no cell has a copy
