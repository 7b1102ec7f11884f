"""Glyphs for magnitudes: shades, bars, signed bars. The glyph alone shows sign and size; colour only repeats them."""

import numpy as np
from numpy.typing import NDArray

POSITIVE_SHADES = "░▒▓█"
NEGATIVE_SHADES = "−=≡≣"
MASKED = "·"
EIGHTHS_ACROSS = " ▏▎▍▌▋▊▉█"
EIGHTHS_UP = " ▁▂▃▄▅▆▇█"
AGAINST, AXIS = "▒", "│"
DOWN = " ▔▀█"
"""Bars below the axis: every font has these three heights, an eighth, a half and a whole."""
LEFTWARD = " ▕▐"
"""The end of a bar to the left: every font has an eighth and a half of a cell."""


def shade(value: float, limit: float) -> str:
    """One glyph for `value` on a scale to ±`limit`, four levels each side; blank below a 64th of it; NaN is masked."""
    if value != value:
        return MASKED
    level = 0.0 if limit <= 0 else abs(value) / limit
    if level < 1 / 64:
        return " "
    shades = NEGATIVE_SHADES if value < 0 else POSITIVE_SHADES
    return shades[min(3, int(level * 4))]


def bar(fraction: float, width: int) -> str:
    """A bar of `fraction` (0 to 1) of `width` character cells, in eighths of a cell. Anything above zero shows."""
    if not fraction > 0:
        return ""
    eighths = max(1, round(min(fraction, 1.0) * width * 8))
    full, rest = divmod(eighths, 8)
    return "█" * full + (EIGHTHS_ACROSS[rest] if rest else "")


def signed_bar(fraction: float, width: int) -> str:
    """A bar of `fraction` (−1 to 1) from an axis in the middle of `width` cells: right and solid if positive, left and shaded if
    negative. Anything but 0 shows."""
    half = (width - 1) // 2
    if fraction < 0:
        full, level = _eighth_half_or_whole(min(-fraction, 1.0) * half)
        return (LEFTWARD[level].strip() + AGAINST * full).rjust(half) + AXIS
    return " " * half + AXIS + bar(fraction, half)


def _eighth_half_or_whole(cells: float) -> tuple[int, int]:
    """Full cells, and the rest rounded to nothing (0), an eighth (1) or a half (2); anything above 0 shows."""
    full = int(cells)
    rest = cells - full
    level = 0 if rest < 1 / 16 else 1 if rest < 5 / 16 else 2 if rest < 3 / 4 else 3
    if level == 3:
        return full + 1, 0
    return full, level or int(full == 0)


def column_glyphs(values: NDArray[np.float32], limit: float) -> tuple[str, str]:
    """Two lines of vertical bars for (N,) values: positive ones above a common axis, negative ones below."""
    scale = np.abs(values) / limit if limit > 0 else np.zeros_like(values)
    up = np.where(values > 0, np.ceil(scale * 8), 0).astype(int)
    down = np.where(values < 0, 1 + np.digitize(scale, (5 / 16, 3 / 4)), 0)
    return "".join(EIGHTHS_UP[level] for level in up), "".join(DOWN[level] for level in down)
