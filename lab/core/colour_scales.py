"""Perceptual colour scales: one from 0 to 1 for probabilities, one about 0 for signed numbers. Plain arithmetic, no terminal.

Colours are laid out in OKLCh (Björn Ottosson, "A perceptual color space for image processing", 2020): lightness changes evenly
along a scale, so that equal steps look equal, and alone tells the order of two colours where hues cannot be told apart.
"""

import math
from functools import lru_cache
from typing import Literal

Scale = Literal["sequential", "diverging"]
"""`sequential`, 0 to 1: probabilities, attention patterns. `diverging`, −1 to 1: scores, activations, weights, gradients."""
RGB = tuple[int, int, int]
"""Red, green and blue of sRGB, 0 to 255."""

SEQUENTIAL = ((0.25, 0.075, 295.0), (0.42, 0.115, 275.0), (0.59, 0.105, 225.0), (0.76, 0.135, 165.0), (0.93, 0.17, 108.0))
"""Lightness, chroma and hue in degrees, at even steps: dark violet, blue, teal, green, yellow."""
CENTRE = 0.26
"""Lightness of zero in the diverging scale on a dark screen; 1.2 − it on a light one."""
FARTHEST = 0.80
"""Lightness of ±1 on a dark screen; 1.2 − it on a light one."""
NEGATIVE_HUE, POSITIVE_HUE = 250.0, 40.0
"""Blue and orange-red: no kind of colour blindness takes one for the other."""
DIVERGING_CHROMA = 0.15
BLACK: RGB = (0, 0, 0)
WHITE: RGB = (255, 255, 255)


@lru_cache(maxsize=4096)
def colour(scale: Scale, value: float, dark: bool = True) -> RGB:
    """Colour of `value`, from 0 (sequential) or −1 (diverging) to 1; values beyond are cut. `dark`: on a dark background, where
    small values are dark; on a light one they are light."""
    if scale == "sequential":
        place = min(1.0, max(0.0, value))
        if dark:
            return in_gamut(*_between(place))
        lightness, chroma, hue = _between(1 - place)
        return in_gamut(lightness, chroma * min(1.0, 0.1 + 2 * place), hue)  # near 0 as pale as the screen
    size = min(1.0, abs(value))
    lightness = CENTRE + size * (FARTHEST - CENTRE)
    return in_gamut(lightness if dark else 1.2 - lightness, DIVERGING_CHROMA * size, NEGATIVE_HUE if value < 0 else POSITIVE_HUE)


def ink_on(paper: RGB) -> RGB:
    """Black or white, whichever contrasts more with `paper`: at least 4.58 (√21), where WCAG 2.1 (1.4.3) asks for 4.5."""
    return max((BLACK, WHITE), key=lambda ink: contrast(ink, paper))


def contrast(one: RGB, other: RGB) -> float:
    """Contrast ratio of two colours, 1 to 21, by WCAG 2.1."""
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def luminance(rgb: RGB) -> float:
    """Relative luminance, 0 to 1, by WCAG 2.1."""
    red, green, blue = (linear(channel / 255) for channel in rgb)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def linear(channel: float) -> float:
    """A channel of sRGB, 0 to 1, as a share of light (IEC 61966-2-1)."""
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def encoded(light: float) -> float:
    return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def _between(place: float) -> tuple[float, float, float]:
    """Lightness, chroma and hue of the sequential scale at `place`, 0 to 1."""
    at = place * (len(SEQUENTIAL) - 1)
    index = min(int(at), len(SEQUENTIAL) - 2)
    rest = at - index
    low, high = SEQUENTIAL[index], SEQUENTIAL[index + 1]
    lightness, chroma, hue = (a + rest * (b - a) for a, b in zip(low, high, strict=True))
    return lightness, chroma, hue


def in_gamut(lightness: float, chroma: float, hue: float) -> RGB:
    """The colour, with as much of its chroma as sRGB has at this lightness."""
    while True:
        channels = _light_of(lightness, chroma, hue)
        if all(-1e-4 <= channel <= 1 + 1e-4 for channel in channels) or chroma < 1e-3:
            red, green, blue = (round(255 * encoded(min(1.0, max(0.0, channel)))) for channel in channels)
            return red, green, blue
        chroma *= 0.97


def _light_of(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    """OKLCh as linear red, green and blue."""
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )
