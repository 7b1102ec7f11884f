"""What all screens of the lab share: the mode bar above, the keys below, and the way back."""

from __future__ import annotations

import gc
from typing import ClassVar, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from screens.app_state import AppState
from screens.messages import ModeChosen
from screens.widgets.key_bar import KeyBar
from screens.widgets.mode_bar import ModeBar

SECONDS_UNTIL_SPARED = 1.0
"""How long after a mode's first picture the collector is spared what it has made, which takes as long as a slow key."""


class LabScreen(Screen[None]):
    """A mode of the lab. A subclass names its `MODE`, says in `HELP` what it is for, and yields its content in `compose_body`.

    A screen follows shared state with `self.watch(self.lab, "run_name", self.follow_run)` in `on_mount`.
    """

    MODE: ClassVar[str] = ""
    """The name of the mode in `screens.app.LabApp.MODES`."""

    HELP: ClassVar[str | None] = ""
    """What `?` says of this screen, as Markdown in plain words. A focused widget's own HELP is shown before it."""

    TEXT_FIELDS: ClassVar[tuple[type[Widget], ...]] = (Input,)
    """Widgets that take letters, which escape leaves first."""

    FIRST_KEYS: ClassVar[tuple[str, ...]] = ()
    """Ids of the bindings that stand first in the line of keys, where not all fit."""

    BINDINGS = [
        Binding("tab", "app.focus_next", "Next part", id="screen.next", tooltip="To the next part of the screen", show=False),
        Binding("shift+tab", "app.focus_previous", "Part before", id="screen.previous", tooltip="To the part before", show=False),
        Binding("escape", "back", "Back", id="screen.back", tooltip="Leave the text field, or go one level back", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        # Textual counts from -1, takes the styles that a new screen has just been given for outdated, and parses all again.
        self._css_update_count = 0

    @on(events.Mount)
    def _spare_the_collector_soon(self) -> None:
        self.set_timer(SECONDS_UNTIL_SPARED, _spare_the_collector)

    def compose(self) -> ComposeResult:
        yield ModeBar(self.MODE)
        yield from self.compose_body()
        yield KeyBar()

    def post_message(self, message: Message) -> bool:
        if isinstance(message, events.ScreenResume):
            # Nothing of a mode's styles changes while it is hidden, and working them all out again takes most of a key's time.
            message.refresh_styles = False
        return super().post_message(message)

    def compose_body(self) -> ComposeResult:
        """What the screen shows between the mode bar and the keys."""
        yield from ()

    @property
    def lab(self) -> AppState:
        """The state that all modes share."""
        return cast(AppState, self.app)

    def go_back(self) -> bool:
        """Leave one level inside this screen. False says that there is none to leave; then escape leads to Home."""
        return False

    def resting_focus(self) -> str | None:
        """Selector of the widget that has the focus after escape has left a text field. None: no widget."""
        return None

    def mode_opened(self) -> None:
        """The user has just asked for this mode."""

    def action_back(self) -> None:
        if isinstance(self.focused, self.TEXT_FIELDS):
            rest = self.resting_focus()
            found = self.query(rest).first() if rest and self.query(rest) else None
            self.set_focus(found if found is not self.focused else None)
        elif not self.go_back() and self.MODE != "home":
            self.post_message(ModeChosen("home"))


def _spare_the_collector() -> None:
    """Takes what is loaded by now out of the sight of Python's cycle collector: going through it takes longer than a key may."""
    gc.collect()
    gc.freeze()
