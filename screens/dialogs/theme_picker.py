"""The theme picker: themes that are legible on this terminal, each shown on the whole lab while the cursor is on it."""

from __future__ import annotations

from typing import cast

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from screens.app_state import AppState
from screens.background import DelayedCall
from screens.dialogs.ask import Choices
from screens.legible_themes import DEFAULT_THEME, has_few_colours, offered_themes

SECONDS_UNTIL_PREVIEW = 0.08
"""Delay of the preview, which styles the whole screen anew: a held key passes over many themes."""


class ThemePicker(ModalScreen[None]):
    """Enter keeps the theme under the cursor, escape goes back to the one before."""

    BINDINGS = [Binding("escape,q,ctrl+t", "dismiss", "Cancel", id="theme.close", tooltip="Keep the theme there was")]
    DEFAULT_CSS = """
    ThemePicker {
        align: right middle;
        background: $background 0%;
        OptionList {
            width: 47; max-width: 100%; height: auto; max-height: 80%; margin: 0 2;
            border: round $primary; background: $surface;
        }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._before = ""
        self._names: list[str] = []
        self._preview = DelayedCall(self)

    def compose(self) -> ComposeResult:
        app = self.app
        self._before, self._names = app.theme, offered_themes(app)
        themes = app.available_themes
        options = [
            Option(
                f"{'▸' if name == self._before else ' '} {name:<22}{_kind(name, themes[name].dark, themes[name].ansi)}", id=name
            )
            for name in self._names
        ]
        chooser = Choices(*options, markup=False)
        chooser.border_title = Text("theme · 16 colours" if has_few_colours(app) else "theme")
        chooser.border_subtitle = "Enter keep · Esc cancel"
        yield chooser

    def on_mount(self) -> None:
        chooser = self.query_one(OptionList)
        chooser.highlighted = self._names.index(self._before) if self._before in self._names else 0
        chooser.focus()

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
