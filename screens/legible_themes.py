"""Legibility of the themes: contrast of the lab's inks on the papers that it puts them on, on this terminal.

Contrast is WCAG 2's ratio of luminances, computed of the colours as the terminal shows them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.color import ColorSystem
from textual.color import Color

if TYPE_CHECKING:
    from textual.app import App
    from textual.theme import Theme

DEFAULT_THEME = "tokyo-night"
TERMINAL_THEME = "ansi-dark"
"""The theme of the terminal's own colours, the only one for 16 of them or none."""

FEW_COLOURS = (None, "standard", "windows")
"""Rich's names of the colour systems on which a theme's colours are not shown."""

TEXT, SECONDARY = 4.5, 3.0
"""Least contrast of text that is read, and of what stands beside it: keys, marks, captions (WCAG 2.2, 1.4.3 and 1.4.11)."""

INKS = (
    ("foreground", 1.0, "background", TEXT),
    ("foreground", 1.0, "surface", TEXT),
    ("foreground", 0.8, "panel", SECONDARY),
    ("foreground", 0.6, "background", SECONDARY),
    ("text-error", 1.0, "background", SECONDARY),
    ("text-warning", 1.0, "background", SECONDARY),
    ("text-success", 1.0, "background", SECONDARY),
)
"""Ink, its opacity, paper, and least contrast, of what every screen draws."""

ADJUSTED = (
    ("accent", "background"),
    ("warning", "background"),
    ("success", "background"),
    ("error", "background"),
    ("footer-key-foreground", "panel"),
)
"""Inks that are moved towards the foreground until they can be read on their paper."""

PAPERS = ("background", "surface", "panel")
"""Fields of a theme that other colours are drawn on, and mixed with."""

STEPS = 20
"""Steps from a colour to the foreground."""


def offered_themes(app: App[Any]) -> list[str]:
    """Names of the themes that are legible on this terminal, the lab's own first."""
    names = [name for name, theme in app.available_themes.items() if is_legible(theme, app)]
    return sorted(names, key=lambda name: (name != DEFAULT_THEME, app.available_themes[name].ansi, name))


def default_theme(app: App[Any]) -> str:
    """The theme by default."""
    return TERMINAL_THEME if has_few_colours(app) else DEFAULT_THEME


def has_few_colours(app: App[Any]) -> bool:
    """True on a terminal of 16 colours, or without colour."""
    return app.no_color or app.console.color_system in FEW_COLOURS


def has_256_colours(app: App[Any]) -> bool:
    """True on a terminal that has these and no more."""
    return app.console.color_system == "256"


def is_legible(theme: Theme, app: App[Any]) -> bool:
    """True if every ink of the lab has its contrast. The terminal's own colours are its user's choice, and always are."""
    if theme.ansi:
        return True
    return not has_few_colours(app) and not illegible_inks(theme, is_256=has_256_colours(app))


def illegible_inks(theme: Theme, *, is_256: bool = False) -> list[str]:
    """The inks of the theme that have too little contrast, with it: `foreground 60% on background: 2.4`."""
    colours = adjusted(variables_of(theme, is_256=is_256))
    found = []
    for ink, opacity, paper, least in INKS:
        has = contrast(colours, ink, opacity, paper, is_256=is_256)
        if has < least:
            found.append(f"{ink} {opacity:.0%} on {paper}: {has:.1f}")
    return found


def variables_of(theme: Theme, *, is_256: bool = False) -> dict[str, str]:
    """The theme's style variables. On 256 colours its papers are greys.

    Those colours have 24 greys, but of each dark hue only one or two shades: rounded, a paper of dark blue and one a little
    lighter become black and bright blue, or teal.
    """
    if is_256 and not theme.ansi:
        papers = {name: _grey(getattr(theme, name)) for name in PAPERS if getattr(theme, name)}
        theme = replace(theme, **papers)  # type: ignore[arg-type]
    return {**theme.to_color_system().generate(), **theme.variables}


def legible_variables(app: App[Any], variables: dict[str, str]) -> dict[str, str]:
    """The variables of the app's theme, as Textual has made them, so that they can be read on this terminal."""
    return adjusted(variables | variables_of(app.current_theme, is_256=True) if has_256_colours(app) else variables)


def _grey(name: str) -> str:
    """The grey of a colour's luminance."""
    light = _luminance(Color.parse(name), is_256=False)
    part = light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
    level = round(part * 255)
    return Color(level, level, level).hex


def adjusted(variables: dict[str, str]) -> dict[str, str]:
    """The variables with inks that can be read: light themes have accents and keys made for dark papers."""
    if "ansi" in variables["background"]:
        return variables
    legible = dict(variables)
    foreground = Color.parse(variables["foreground"])
    for ink, paper in ADJUSTED:
        colour = Color.parse(variables[ink])
        for step in range(STEPS + 1):
            legible[ink] = colour.blend(foreground, step / STEPS).hex
            if contrast(legible, ink, 1.0, paper) >= SECONDARY:
                break
        else:
            legible[ink] = foreground.hex
        if legible[ink] == colour.hex:
            legible[ink] = variables[ink]
    return legible


def contrast(variables: dict[str, str], ink: str, opacity: float, paper: str, *, is_256: bool = False) -> float:
    """The contrast of an ink on a paper, from 1 (the same) to 21 (black on white)."""
    back, front = Color.parse(variables[paper]), Color.parse(variables[ink])
    front = back.blend(front, opacity * front.a, 1.0)
    lighter, darker = sorted((_luminance(each, is_256) for each in (front, back)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Color, is_256: bool) -> float:
    """WCAG's relative luminance, 0 to 1."""
    if is_256:
        colour = Color.from_rich_color(colour.rich_color.downgrade(ColorSystem.EIGHT_BIT))
    red, green, blue = (_linear(part / 255) for part in (colour.r, colour.g, colour.b))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
