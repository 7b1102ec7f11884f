"""Colour of magnitudes in the terminal: pieces of text that stand for numbers, drawn in the colours that the terminal has.

The scales themselves are arithmetic of `lab.core.colour_scales`.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from rich.color import Color, ColorSystem
from rich.style import Style
from textual.app import App
from textual.widget import Widget

from lab.core.colour_scales import RGB, Scale, colour, in_gamut, ink_on

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


@cache
def _known(scale: Scale, level: int, below: int | None) -> Heat:
    """The one heat object of these levels: making one takes longer than finding it."""
    return Heat(scale, level, below)


def legend_bar(scale: Scale, low: str, high: str, width: int = 16) -> list[ColouredPiece]:
    """The scale as a bar of colours with its ends in words; a diverging one has 0 in its middle."""
    first = -1.0 if scale == "diverging" else 0.0
    places = first + (1 - first) * np.arange(width) / max(1, width - 1)
    return [(f"{low} ", "dim"), *heat_cells(scale, levels_of(places)), (f" {high}", "dim")]


SIGNS = {"positive": 1.0, "negative": -1.0}
"""Kinds of bars by their sign, and the end of the diverging scale that is their ink."""
PAINTED = {"truecolor": None, "256": ColorSystem.EIGHT_BIT}
"""Rich's colour systems in which a scale can be told by paper alone, and the one to round colours to."""


@dataclass(frozen=True)
class Palette:
    """`system` is Rich's name of the terminal's colours; `background` the theme's own, for masked cells."""

    system: str | None
    dark: bool
    background: RGB

    @property
    def paints(self) -> bool:
        """True if paper shows a number. False in 16 colours and without colour, where glyphs do."""
        return self.system in PAINTED

    def rgb(self, heat: Heat, level: int) -> RGB:
        """The colour of a level on the heat's scale, as the terminal shows it."""
        if level == MASKED_LEVEL:
            return self.background
        return _shown(colour(heat.scale, level / LEVELS, self.dark), self.system)

    def shown(self, rgb: RGB) -> RGB:
        """The colour nearest to `rgb` that the terminal has."""
        return _shown(rgb, self.system)

    def style(self, heat: Heat) -> Style:
        """Paper for the number and ink to write on it; of a half block, ink above paper. Without paper, the role alone."""
        return _style(self, heat)

    def sign_style(self, kind: str) -> Style:
        """Ink of the sign that `kind` names, as the diverging scale has it; none for other kinds and where nothing is painted."""
        return _sign_style(self, SIGNS[kind]) if self.paints and kind in SIGNS else Style.null()


@lru_cache(maxsize=64)
def _sign_style(palette: Palette, value: float) -> Style:
    return Style(color=Color.from_rgb(*palette.rgb(heat("diverging", value), level_of(value))))


@lru_cache(maxsize=16384)
def _style(palette: Palette, heat: Heat) -> Style:
    marked = heat.role == "selected" or None
    struck = heat.role == "struck" or None
    if not palette.paints:
        return Style(bold=marked, underline=marked, strike=struck)
    upper = palette.rgb(heat, heat.level)
    if heat.below is not None:
        return Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*palette.rgb(heat, heat.below)))
    ink = ink_on(upper)
    return Style(color=Color.from_rgb(*ink), bgcolor=Color.from_rgb(*upper), bold=marked, underline=marked, strike=struck)


@lru_cache(maxsize=1024)
def _shown(rgb: RGB, system: str | None) -> RGB:
    """The colour nearest to `rgb` that a terminal of this system has."""
    rounded = PAINTED.get(system or "")
    if rounded is None:
        return rgb
    red, green, blue = Color.from_rgb(*rgb).downgrade(rounded).get_truecolor()
    return red, green, blue


_LATEST: WeakKeyDictionary[App[object], tuple[tuple[str, str], Palette]] = WeakKeyDictionary()
"""The palette of each app, and the theme and background that it was made for: it is asked for at every token that is drawn."""


def palette_of(widget: Widget) -> Palette:
    """The palette for a widget's app as it is now."""
    app = widget.app
    key = app.theme, app.theme_variables.get("background", "")
    found = _LATEST.get(app)
    if found is None or found[0] != key:
        theme = app.current_theme
        paints_nothing = app.no_color or theme.name.startswith("ansi") or getattr(app, "draws_ascii", False)
        system = None if paints_nothing else app.console.color_system
        found = _LATEST[app] = key, _palette(system, theme.dark, key[1])
    return found[1]


@lru_cache(maxsize=64)
def _palette(system: str | None, dark: bool, background: str) -> Palette:
    if not background.startswith("#"):
        return Palette(None if not background else system, dark, (0, 0, 0) if dark else (255, 255, 255))
    from textual.color import Color as TextualColor

    red, green, blue = TextualColor.parse(background).rgb
    return Palette(system, dark, (red, green, blue))


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
    lightness, chroma, hue = CYCLE[index]
    paper = palette.shown(in_gamut(lightness if palette.dark else 1.26 - lightness, chroma, hue))
    return Style(color=Color.from_rgb(*ink_on(paper)), bgcolor=Color.from_rgb(*paper))
