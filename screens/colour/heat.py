"""Heat: the kind of a piece of text whose colour stands for a number, or for two above each other in a half block."""

from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab.core.colour_scales import Scale

LEVELS = 32
"""Steps of a scale from 0 to 1. Numbers that are nearer than a step share a style, so that neighbours are sent as one."""
HALF_BLOCK = "▀"
"""Its ink is the upper half of the cell, its paper the lower half."""
LEAST_INK = LEVELS // 4
"""Least level of bars and arcs, which have no paper: fainter ink could not be seen, and their length tells small numbers."""
LEAST_SIGNED_INK = LEVELS // 2
"""The same of a diverging scale, which is darkest at 0."""
MASKED_LEVEL = LEVELS + 1
"""Stands for NaN."""


class Heat(NamedTuple):
    """A cell's place on a scale in `LEVELS` steps: its paper, or of a half block the ink above and the paper `below`.

    A tuple, as thousands are looked up at a time: it is hashed several times as fast as a dataclass.
    """

    scale: Scale
    level: int
    below: int | None = None
    """Level of the lower half. None where the whole cell is one number."""
    role: str = ""
    """"", "selected" or "struck": marks the text on it."""


HeatPiece = tuple[str, Heat]
ColouredPiece = tuple[str, str | Heat]
"""Text and its kind: a role's name, or the numbers that its colour stands for."""

_KNOWN: dict[tuple[Scale, int, int | None], Heat] = {}


def heat(scale: Scale, value: float, below: float | None = None, role: str = "") -> Heat:
    """The heat of a value (and of one below it): 0 to 1, of a diverging scale −1 to 1; NaN is masked."""
    return Heat(scale, level_of(value), None if below is None else level_of(below), role)


def level_of(value: float) -> int:
    """The nearest step to a value from −1 to 1; anything but 0 is at least one step from it."""
    if value != value:
        return MASKED_LEVEL
    nearest = round(min(1.0, max(-1.0, value)) * LEVELS)
    return nearest or (0 if value == 0 else 1 if value > 0 else -1)


def levels_of(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """`level_of` for an array."""
    with np.errstate(invalid="ignore"):
        scaled = np.nan_to_num(np.clip(values, -1, 1) * LEVELS)
        levels = np.rint(scaled).astype(np.int64)
        levels = np.where((levels == 0) & (scaled != 0), np.sign(scaled).astype(np.int64), levels)
    return np.where(np.isnan(values), MASKED_LEVEL, levels)


def heat_cells(scale: Scale, levels: NDArray[np.int64], width: int = 1) -> list[HeatPiece]:
    """A line of cells for (N,) levels, each `width` characters wide, equal neighbours merged."""
    return [(" " * (width * sum(1 for _ in run)), _known(scale, level, None)) for level, run in groupby(levels.tolist())]


def half_block_cells(scale: Scale, above: NDArray[np.int64], below: NDArray[np.int64] | None, width: int = 1) -> list[HeatPiece]:
    """A line that draws two rows of numbers, (N,) levels each, in half blocks; without `below` the lower half is masked."""
    under = [MASKED_LEVEL] * len(above) if below is None else below.tolist()
    pairs = zip(above.tolist(), under, strict=True)
    return [(HALF_BLOCK * (width * sum(1 for _ in run)), _known(scale, *pair)) for pair, run in groupby(pairs)]


def _known(scale: Scale, level: int, below: int | None) -> Heat:
    """The one heat object of these levels: making one takes longer than finding it."""
    key = (scale, level, below)
    found = _KNOWN.get(key)
    if found is None:
        found = _KNOWN[key] = Heat(scale, level, below)
    return found


def legend_bar(scale: Scale, low: str, high: str, width: int = 16) -> list[ColouredPiece]:
    """The scale as a bar of colours with its ends in words; a diverging one has 0 in its middle."""
    first = -1.0 if scale == "diverging" else 0.0
    places = first + (1 - first) * np.arange(width) / max(1, width - 1)
    return [(f"{low} ", "dim"), *heat_cells(scale, levels_of(places)), (f" {high}", "dim")]
