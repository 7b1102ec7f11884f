"""A small cycle of papers that tell neighbouring tokens apart, also for the colour-blind: dark and light in turn."""

from functools import lru_cache

from rich.color import Color
from rich.style import Style

from lab.core.colour_scales import RGB, in_gamut, ink_on
from screens.colour.palette import Palette

CYCLE = ((0.36, 0.10, 262.0), (0.50, 0.09, 70.0), (0.36, 0.08, 170.0), (0.50, 0.11, 345.0))
"""OKLCh lightness, chroma and hue of each paper on a dark screen; on a light one the lightness is 1.26 − it. Neighbours differ in
lightness, which everybody sees, and in hue."""


def cycle_style(palette: Palette, index: int) -> Style:
    """The style of the token at a place of the text, its ink easy to read. Where there is no paper, every other is underlined."""
    return _cycle_style(palette, index % len(CYCLE))


@lru_cache(maxsize=256)
def _cycle_style(palette: Palette, index: int) -> Style:
    if not palette.paints:
        return Style(underline=index % 2 == 1)
    paper = palette.shown(cycle_paper(index, palette.dark))
    return Style(color=Color.from_rgb(*ink_on(paper)), bgcolor=Color.from_rgb(*paper))


def cycle_paper(index: int, dark: bool = True) -> RGB:
    """The paper of a place in the cycle."""
    lightness, chroma, hue = CYCLE[index % len(CYCLE)]
    return in_gamut(lightness if dark else 1.26 - lightness, chroma, hue)
