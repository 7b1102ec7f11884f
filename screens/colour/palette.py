"""Palette: the styles of heat for the theme in use and the colours that the terminal has."""

from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakKeyDictionary

from rich.color import Color, ColorSystem
from rich.style import Style
from textual.app import App
from textual.widget import Widget

from lab.core.colour_scales import RGB, colour, ink_on
from screens.colour.heat import LEVELS, MASKED_LEVEL, Heat, heat, level_of

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
    return Style(
        color=Color.from_rgb(*ink),
        bgcolor=Color.from_rgb(*upper),
        bold=marked,
        underline=marked,
        strike=struck,
    )


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
