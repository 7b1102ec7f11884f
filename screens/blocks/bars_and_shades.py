"""Characters that stand for magnitudes. Sign and size are readable from the glyph alone; colour only repeats them."""

import numpy as np
from numpy.typing import NDArray

POSITIVE_SHADES = "░▒▓█"
NEGATIVE_SHADES = "−=≡≣"
MASKED = "·"
EIGHTHS_ACROSS = " ▏▎▍▌▋▊▉█"
EIGHTHS_UP = " ▁▂▃▄▅▆▇█"
AGAINST, AXIS = "▒", "│"
DOWN = " ▔▀█"
"""Bars that hang from the axis; terminals have only these three heights of them in every font: an eighth, a half and a whole."""
LEFTWARD = " ▕▐"
"""The end of a bar that grows to the left, an eighth and a half of a cell: these two are in every font."""


def shade(value: float, limit: float) -> str:
    """One glyph for `value` on a scale from 0 to `limit` (the largest magnitude); NaN is masked.

    Four levels each side of zero. What is below a 64th of the limit is left blank.
    """
    if value != value:
        return MASKED
    level = 0.0 if limit <= 0 else abs(value) / limit
    if level < 1 / 64:
        return " "
    shades = NEGATIVE_SHADES if value < 0 else POSITIVE_SHADES
    return shades[min(3, int(level * 4))]


def bar(fraction: float, width: int) -> str:
    """A bar of `fraction` (0 to 1) of `width` character cells, to an eighth of one. Anything above zero shows."""
    if not fraction > 0:
        return ""
    eighths = max(1, round(min(fraction, 1.0) * width * 8))
    full, rest = divmod(eighths, 8)
    return "█" * full + (EIGHTHS_ACROSS[rest] if rest else "")


def signed_bar(fraction: float, width: int) -> str:
    """A bar of `fraction` (−1 to 1) beside the axis in the middle of `width` character cells; what is not 0 shows.

    To the right in full blocks where it is positive, to the left in shaded ones where it is negative.
    """
    half = (width - 1) // 2
    if fraction < 0:
        full, level = _eighth_half_or_whole(min(-fraction, 1.0) * half)
        return (LEFTWARD[level].strip() + AGAINST * full).rjust(half) + AXIS
    return " " * half + AXIS + bar(fraction, half)


def _eighth_half_or_whole(cells: float) -> tuple[int, int]:
    """Whole cells, and the nearest of nothing (0), an eighth (1) and a half (2) for the rest; what is above 0 is not nothing."""
    full = int(cells)
    rest = cells - full
    level = 0 if rest < 1 / 16 else 1 if rest < 5 / 16 else 2 if rest < 3 / 4 else 3
    if level == 3:
        return full + 1, 0
    return full, level or int(full == 0)


def column_glyphs(values: NDArray[np.float32], limit: float) -> tuple[str, str]:
    """Two lines of upright bars on a common axis, (N,) values each: positive ones rise above it, negative ones hang below."""
    scale = np.abs(values) / limit if limit > 0 else np.zeros_like(values)
    up = np.where(values > 0, np.ceil(scale * 8), 0).astype(int)
    down = np.where(values < 0, 1 + np.digitize(scale, (5 / 16, 3 / 4)), 0)
    return "".join(EIGHTHS_UP[level] for level in up), "".join(DOWN[level] for level in down)
