"""Curves in characters: a grid of braille cells, each two dots wide and four high, and the numbers along its axes."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lab.curves import nice_ticks

Piece = tuple[str, str]
"""Text and its role, which the widget turns into a style."""

BLANK = 0x2800
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint8)
"""The bit of a braille character for each of its dots, by row and column (Unicode, "Braille Patterns")."""
SMALLEST_ON_LOG = 1e-6
"""A loss of zero has no logarithm; this is far below any that matters."""

Places = NDArray[np.int64]


class Canvas:
    """`rows` × `columns` cells for points between two corners. What is drawn later stands before what was drawn earlier."""

    def __init__(self, rows: int, columns: int, low: tuple[float, float], high: tuple[float, float]) -> None:
        """`low` and `high` are the x and y of the first dot at the bottom and the last one at the top."""
        self.rows, self.columns = rows, columns
        self._low, self._high = low, high
        self._signs = np.full((rows, columns), ord(" "), np.uint32)
        self._roles = np.zeros((rows, columns), np.int8)
        self._names = ["axis"]

    def row(self, y: float) -> int:
        """The row of cells in which a y is drawn."""
        return int(self._y_dots(np.array([y]))[0]) // 4

    def _x_dots(self, xs: NDArray[np.float64]) -> Places:
        low, high = self._low[0], self._high[0]
        return np.rint((xs - low) / (high - low) * (2 * self.columns - 1)).astype(np.int64)

    def _y_dots(self, ys: NDArray[np.float64]) -> Places:
        low, high = self._low[1], self._high[1]
        return np.rint((high - ys) / (high - low) * (4 * self.rows - 1)).astype(np.int64)

    def dots(self, xs: list[float], ys: list[float], role: str) -> None:
        """A dot for each point."""
        self._put_dots(self._x_dots(np.array(xs)), self._y_dots(np.array(ys)), role)

    def line(self, xs: list[float], ys: list[float], role: str, dashes: tuple[int, int] | None = None) -> None:
        """Straight lines from point to point; `dashes` cells are drawn and left out in turn, shifted from row to row."""
        self._put_dots(*joined(self._x_dots(np.array(xs)), self._y_dots(np.array(ys))), role, dashes)

    def _put_dots(self, x: Places, y: Places, role: str, dashes: tuple[int, int] | None = None) -> None:
        inside = (x >= 0) & (x < 2 * self.columns) & (y >= 0) & (y < 4 * self.rows)
        x, y = x[inside], y[inside]
        cells = np.zeros((self.rows, self.columns), np.uint8)
        np.bitwise_or.at(cells, (y // 4, x // 2), DOTS[y % 4, x % 2])
        if dashes is not None:
            place = np.arange(self.columns) + 2 * np.arange(self.rows)[:, None]
            cells[place % sum(dashes) >= dashes[0]] = 0
        self._put(cells > 0, cells[cells > 0].astype(np.uint32) + BLANK, role)

    def signs(self, xs: list[float], ys: list[float], sign: str, role: str) -> None:
        """A character for each point."""
        where = np.zeros((self.rows, self.columns), bool)
        where[self._y_dots(np.array(ys)) // 4, self._x_dots(np.array(xs)) // 2] = True
        self._put(where, ord(sign), role)

    def level(self, y: float, sign: str, role: str) -> None:
        """A line of characters from side to side."""
        where = np.zeros((self.rows, self.columns), bool)
        where[self.row(y)] = True
        self._put(where, ord(sign), role)

    def _put(self, where: NDArray[np.bool_], signs: NDArray[np.uint32] | int, role: str) -> None:
        if role not in self._names:
            self._names.append(role)
        self._signs[where] = signs
        self._roles[where] = self._names.index(role)

    def lines(self) -> list[list[Piece]]:
        """Every row as pieces of one role each; blanks belong to what they follow."""
        made = []
        for signs, roles in zip(self._signs, self._roles, strict=True):
            text = signs.tobytes().decode("utf-32-le")
            edges = [0, *(np.flatnonzero(np.diff(roles)) + 1).tolist(), self.columns]
            made.append([(text[start:end], self._names[roles[start]]) for start, end in pairwise(edges)])
        return made


def joined(x: Places, y: Places) -> tuple[Places, Places]:
    """The dots on the straight lines from each point to the next, ends included."""
    across, down = np.diff(x), np.diff(y)
    steps = np.maximum(1, np.maximum(np.abs(across), np.abs(down)))
    which = np.repeat(np.arange(len(steps)), steps)
    part = (np.arange(len(which)) - np.repeat(np.cumsum(steps) - steps, steps)) / steps[which]
    return (
        np.append(np.rint(x[which] + part * across[which]).astype(np.int64), x[-1:]),
        np.append(np.rint(y[which] + part * down[which]).astype(np.int64), y[-1:]),
    )


def tick_labels(ticks: list[float]) -> list[str]:
    """Ticks with as many decimals as tell them apart."""
    apart = ticks[1] - ticks[0] if len(ticks) > 1 else abs(ticks[0]) / 100 or 1.0 if ticks else 1.0
    decimals = max(0, -math.floor(math.log10(apart) + 1e-9))
    return [f"{tick:.{decimals}f}" for tick in ticks]


def log_ticks(low: float, high: float, about: int) -> list[float]:
    """1, 2 and 5 times powers of ten, or the powers alone where those are many; round numbers where there is at most one."""
    low = max(low, SMALLEST_ON_LOG)
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    for multiples in ((1, 2, 5), (1,)):
        ticks = [m * 10.0**power for power in powers for m in multiples if low <= m * 10.0**power <= high]
        if len(ticks) <= about:
            break
    return ticks if len(ticks) > 1 else nice_ticks(low, high, about)


def label_row(places: list[int], labels: list[str], unit: str, width: int) -> str:
    """The labels under the marks of the axis, the first and the last first; one that would touch another is left out."""
    row = [" "] * width
    pairs = list(zip(places, labels, strict=False))
    if pairs and unit:
        pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]} {unit}")
    for place, label in [*pairs[-1:], *pairs[:-1]]:
        start = max(0, min(place - len(label) // 2, width - len(label)))
        if all(sign == " " for sign in row[max(0, start - 1) : start + len(label) + 1]):
            row[start : start + len(label)] = label
    return "".join(row)
