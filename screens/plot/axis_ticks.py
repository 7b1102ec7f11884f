"""Ticks of an axis and their labels, linear and logarithmic."""

import math

import numpy as np

SMALLEST_ON_LOG = 1e-6
"""A loss of zero has no logarithm; this is far below any that matters."""


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
