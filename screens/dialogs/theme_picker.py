"""Themes: those that are legible on this terminal, and the picker, which shows each on the whole lab while the cursor is on it.

Contrast is WCAG 2's ratio of luminances, computed of the colours as the terminal shows them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from rich.color import ColorSystem
from textual import on
from textual.binding import Binding
from textual.color import Color
from textual.widgets import OptionList

from lab.core.colour_scales import contrast as contrast_of
from lab.core.colour_scales import encoded, luminance
from screens.app_state import AppState
from screens.background import DelayedCall
from screens.dialogs.ask import ListDialog

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
    return not has_few_colours(app) and has_contrast(theme, is_256=has_256_colours(app))


def has_contrast(theme: Theme, *, is_256: bool = False) -> bool:
    """True if every ink has at least its contrast."""
    colours = adjusted(variables_of(theme, is_256=is_256))
    return all(contrast(colours, ink, opacity, paper, is_256=is_256) >= least for ink, opacity, paper, least in INKS)


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
    level = round(255 * encoded(luminance(Color.parse(name).rgb)))
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
    both = (back, back.blend(front, opacity * front.a, 1.0))
    if is_256:
        both = tuple(Color.from_rich_color(each.rich_color.downgrade(ColorSystem.EIGHT_BIT)) for each in both)  # type: ignore[assignment]
    return contrast_of(both[0].rgb, both[1].rgb)


SECONDS_UNTIL_PREVIEW = 0.08
"""Delay of the preview, which styles the whole screen anew: a held key passes over many themes."""


class ThemePicker(ListDialog[None]):
    """Enter keeps the theme under the cursor, escape goes back to the one before."""

    BINDINGS = [Binding("escape,q,ctrl+t", "dismiss", "Cancel", id="theme.close", tooltip="Keep the theme there was")]
    DEFAULT_CSS = """
    ThemePicker {
        align: right middle; background: $background 0%;
        OptionList { width: 47; margin: 0 2; }
    }
    """

    def __init__(self) -> None:
        app = self.app
        self._before, self._names, themes = app.theme, offered_themes(app), app.available_themes
        self._preview = DelayedCall(self)
        lines = [
            f"{'▸' if name == self._before else ' '} {name:<22}{_kind(name, themes[name].dark, themes[name].ansi)}"
            for name in self._names
        ]
        at = self._names.index(self._before) if self._before in self._names else 0
        super().__init__(lines, "theme · 16 colours" if has_few_colours(app) else "theme", "Enter keep · Esc cancel", at)

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self._preview.start(SECONDS_UNTIL_PREVIEW, lambda: self._show(self._names[event.option_index]))

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self._preview.cancel()
        name = self._names[event.option_index]
        self._show(name)
        cast(AppState, self.app).change_preferences(theme=name)
        self.dismiss()

    async def action_dismiss(self, result: None = None) -> None:
        self._preview.cancel()
        self._show(self._before)
        self.dismiss()

    def _show(self, name: str) -> None:
        if self.app.theme != name:
            self.app.theme = name


def _kind(name: str, is_dark: bool, is_ansi: bool) -> str:
    if is_ansi:
        return f"terminal's{'' if is_dark else ', light'}"
    return f"{'dark' if is_dark else 'light'}{', default' if name == DEFAULT_THEME else ''}"
