"""Shading of tokens by a number each, such as the attention that a head pays to them, and arcs that show the largest ones."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from screens.blocks.block_layout import EIGHTHS_UP
from screens.colour import level_of

MOST_ARCS = 6
"""Arcs drawn at once, those of the largest numbers."""
LEAST_ARC = 0.15
"""Least number with an arc, as a fraction of the largest."""
THICK = 0.5
"""Fraction of the largest number from which on an arc is drawn twice as thick."""
LOWEST = 3
"""Height of the shortest arc, in dots."""
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille character: rows from above, two columns."""

ArcCell = tuple[str, int]
"""A character and its level on the sequential scale."""


@dataclass(frozen=True)
class Shading:
    """A number from 0 to 1 for each token; NaN where it has none."""

    values: tuple[float, ...]
    at: int
    """The token that the numbers are about."""
    words: str
    """Name of the numbers: `head 2.2's attention from “ ran”`."""
    brief: str
    """The same in fewer words: `shaded: head 2.2 from “ ran”`."""
    head: str
    """Their head: `head 2.2`."""
    inward: bool = False
    """True if arcs lead from the tokens to that one."""

    @cached_property
    def limit(self) -> float:
        """The largest number, which has the brightest shade."""
        return max((value for value in self.values if value == value), default=0.0)

    def share(self, index: int) -> float:
        """A token's number as a fraction of the largest; NaN where it has none."""
        value = self.values[index] if index < len(self.values) else math.nan
        return value / self.limit if self.limit > 0 else value * 0.0

    def bar(self, index: int) -> str:
        """The bar beside a token; blank where it has no number."""
        share = self.share(index)
        return " " if share != share else EIGHTHS_UP[max(1, round(share * 8))]

    @cached_property
    def top(self) -> int | None:
        """The token with the largest number."""
        known = [index for index, value in enumerate(self.values) if value == value]
        return max(known, key=lambda index: self.values[index], default=None)

    def arcs(self) -> list[int]:
        """The tokens with an arc, the largest number last."""
        seen = [index for index in range(len(self.values)) if self.share(index) >= LEAST_ARC]
        return sorted(seen, key=lambda index: self.values[index])[-MOST_ARCS:]


def arc_lines(shading: Shading, centres: Sequence[int], left: int, width: int, lines: int) -> list[list[ArcCell]]:
    """Arcs in braille from the token `shading.at` to those with the largest numbers, as `lines` rows of `width` cells.

    `centres` are the tokens' middle cells, of which `left` are scrolled out of sight. A brighter arc covers a fainter one.
    """
    centre = centres[shading.at]
    bits = [[0] * width for _ in range(lines)]
    levels = [[0] * width for _ in range(lines)]
    ends: dict[int, int] = {}
    drawn = [index for index in shading.arcs() if index < len(centres)]
    farthest = max((abs(centres[index] - centre) for index in drawn), default=0)
    for index in drawn:
        share = shading.share(index)
        level = level_of(share)
        tall = LOWEST + (4 * lines - 1.5 - LOWEST) * abs(centres[index] - centre) / max(1, farthest)
        ends_at = 2 * (centres[index] - left), 2 * (centre - left)
        for x, low, high in _arc(*ends_at, tall, 2 if share >= THICK else 1, 2 * width):
            column = x // 2
            for y in range(low, min(high, 4 * lines - 1) + 1):
                row = lines - 1 - y // 4
                bits[row][column] |= _DOTS[3 - y % 4][x % 2]
                levels[row][column] = max(levels[row][column], level)
        ends[(centre if shading.inward else centres[index]) - left] = level
    found = [
        [(chr(0x2800 + bit) if bit else " ", level) for bit, level in zip(bit_row, level_row, strict=True)]
        for bit_row, level_row in zip(bits, levels, strict=True)
    ]
    for column, level in ends.items():
        if 0 <= column < width and found:
            found[-1][column] = ("▾", level)
    return found


def _arc(start: int, end: int, tall: float, thick: int, width: int) -> Iterator[tuple[int, int, int]]:
    """Half an ellipse over two places, a narrow loop over one: each x in sight with its lowest and highest dot from below."""
    if start == end:
        start, end = start - 3, end + 3
    first, last = sorted((start, end))
    middle, half = (first + last) / 2, (last - first) / 2
    seen = range(max(0, first), min(width, last + 1))
    places = np.arange(seen.start - 1, seen.stop + 1)
    heights = (tall * np.sqrt(np.maximum(0.0, 1 - ((places - middle) / half) ** 2))).astype(int)
    heights[(places < first) | (places > last)] = -1
    outer = np.where(places[1:-1] < middle, heights[:-2], heights[2:])  # towards the nearer end, where the arc is steeper
    lows = np.maximum(0, np.minimum(outer + 1, heights[1:-1]) - thick + 1)
    yield from zip(seen, lows.tolist(), heights[1:-1].tolist(), strict=True)
