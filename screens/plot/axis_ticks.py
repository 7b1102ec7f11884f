"""Ticks of an axis and their labels, linear and logarithmic."""

import math
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len

from screens.plot.braille_canvas import DOTS_A_ROW

SMALLEST_ON_LOG = 1e-6
"""A loss of zero has no logarithm; this is far below any that matters."""

LOG_MULTIPLES = ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
"""Multiples of powers of ten that are ticks, from many to few."""
FEWEST_ROWS_A_TICK = 2
WASTE_OF_TICKS = 0.15
"""Share of the height that half as many ticks as wanted, or twice as many, are worth."""


@dataclass(frozen=True)
class EvenScale:
    """A linear y axis whose ticks are a whole number of rows apart; `row` is the height of a row of cells."""

    row: float
    bottom: int
    """The lowest braille dot, in dots above zero: a quarter of a row each."""
    rows_a_tick: int
    rows: int

    @property
    def low(self) -> float:
        """The y of the lowest braille dot."""
        return self.bottom * self.row / DOTS_A_ROW

    @property
    def high(self) -> float:
        """The y of the highest braille dot."""
        return (self.bottom + DOTS_A_ROW * self.rows - 1) * self.row / DOTS_A_ROW

    @property
    def ticks(self) -> list[float]:
        apart = DOTS_A_ROW * self.rows_a_tick
        spacing = self.row * self.rows_a_tick
        # A product of whole numbers: the sum of fractions would not be round.
        return [
            each * spacing for each in range(-(-self.bottom // apart), (self.bottom + DOTS_A_ROW * self.rows - 1) // apart + 1)
        ]


def even_scale(low: float, high: float, rows: int, about: int) -> EvenScale:
    """The scale with evenly spaced round ticks that shows `low` to `high` in the least room, near `about` ticks."""
    span = max(high - low, 1e-9 * max(1.0, abs(high)))
    best: tuple[float, EvenScale] | None = None
    fewest = FEWEST_ROWS_A_TICK if rows > 2 * FEWEST_ROWS_A_TICK else 1
    power = math.floor(math.log10(span / rows))
    for exponent in range(power, power + 4):
        for mantissa in (1, 2, 5):
            spacing = mantissa * 10.0**exponent
            most = math.floor(spacing * rows / span + 1e-9)  # of closer ticks, the rows would not span the curves
            for apart in range(max(fewest, min(most // 2, rows)), min(most, rows) + 1):
                row = spacing / apart
                scale = EvenScale(row, math.floor(low / row * DOTS_A_ROW + 1e-6), apart, rows)
                if scale.high < high - 1e-9 * span:
                    continue
                ticks = len(scale.ticks)
                waste = row * rows / span + WASTE_OF_TICKS * abs(math.log2((ticks or 0.5) / about)) + (ticks < 2)
                if best is None or waste < best[0]:
                    best = waste, scale
    assert best is not None, (low, high, rows)
    return best[1]


def tick_labels(ticks: list[float]) -> list[str]:
    """Ticks with as many decimals as tell them apart."""
    apart = ticks[1] - ticks[0] if len(ticks) > 1 else abs(ticks[0]) / 100 or 1.0 if ticks else 1.0
    decimals = max(0, -math.floor(math.log10(apart) + 1e-9))
    return [f"{tick:.{decimals}f}" for tick in ticks]


def log_ticks(low: float, high: float, about: int) -> list[float]:
    """Round multiples of powers of ten, or the powers alone where those are many; round numbers where there is at most one."""
    low = max(low, SMALLEST_ON_LOG)
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    for multiples in LOG_MULTIPLES:
        ticks = [m * 10.0**power for power in powers for m in multiples if low <= m * 10.0**power <= high]
        if len(ticks) <= about:
            break
    return ticks if len(ticks) > 1 else nice_ticks(low, high, about)


def label_row(places: list[int], labels: list[str], unit: str, width: int) -> str:
    """The labels under the marks of the axis, the last and the first first; one that would touch another is left out.

    Every number is centred under its mark as far as the row reaches. The unit follows the last number with room behind it; where
    there is none and the row is long, it takes the end of the row if two numbers are left.
    """
    row, size = [" "] * width, cell_len(unit)
    pairs = list(zip(places, labels, strict=False))
    ends: list[int] = []
    for place, label in [*pairs[-1:], *pairs[:-1]]:
        start = max(0, min(place - len(label) // 2, width - len(label)))
        if _is_free(row, start, len(label)):
            row[start : start + len(label)] = label
            ends.append(start + len(label))
    for end in sorted(ends, reverse=True) if unit else []:
        if end + 1 + size <= width and all(sign == " " for sign in row[end : end + size + 3]):
            row[end + 1 : end + 1 + size] = unit
            return "".join(row)
    if unit and 3 * (size + 2) <= width:
        kept = "".join(row)[: -size - 1].rpartition(" ")[0]  # without a number that would be cut
        if len(kept.split()) > 1:
            return f"{kept.ljust(width - size - 1)} {unit}"
    return "".join(row)


def _is_free(row: list[str], start: int, length: int) -> bool:
    """Check that nothing stands in this part of the row or touches it."""
    return all(sign == " " for sign in row[max(0, start - 1) : start + length + 1])


def nice_ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from `low` to `high`, near `about` of them, spaced by 1, 2 or 5 times a power of ten."""
    if not high > low or about < 1:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** np.floor(np.log10(rough))
    spacing = float(min((m * power for m in (1, 2, 5, 10)), key=lambda size: abs(size - rough)))
    first = np.ceil(low / spacing - 1e-9)
    last = np.floor(high / spacing + 1e-9)
    return [float(tick * spacing) + 0.0 for tick in np.arange(first, last + 1)]
