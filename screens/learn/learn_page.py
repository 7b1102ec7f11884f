"""The base class of the pages of Learn."""

from __future__ import annotations

from typing import ClassVar, cast

from textual.containers import Vertical
from textual.reactive import var

from lab.views.screen_state import ScreenState
from screens.app_state import AppState
from screens.base_screen import Page
from screens.learn.learn_engine import LearnEngine
from screens.widgets.page_bar import PageLink


class LearnPage(Page, Vertical):
    """One page. It is mounted with the screen; `page_shown` tells it when it comes into sight."""

    LINK: ClassVar[PageLink]
    DEFAULT_CSS = """
    LearnPage { height: 1fr; display: none; }
    LearnPage.-shown { display: block; }
    """

    is_shown: var[bool] = var(False, toggle_class="-shown")
    """True while the page is in sight."""
    engine: LearnEngine
    """The engine of the mode; set by the screen."""

    @property
    def lab(self) -> AppState:
        """The state that all modes share: the text in use, the current run."""
        return cast(AppState, self.app)

    @property
    def is_settled(self) -> bool:
        """True if everything asked for has been answered."""
        return True

    def screen_resumed(self) -> None:
        """Follow the mode's return into view."""

    def take_focus(self) -> None:
        """Focus the widget that has the keys when the page opens."""

    def resting_focus(self) -> str | None:
        """Selector of the widget to focus after escape has left a text field; None for no widget."""
        return None

    def go_back(self) -> bool:
        """Go back one place inside the page. False if there is none."""
        return False

    def screen_state(self) -> ScreenState:
        """The place in the page, to be shown again by `restore_state`."""
        return ScreenState(mode="learn", page=self.LINK.name, run=self.lab.run_name)

    def restore_state(self, state: ScreenState) -> None:
        """Show a place of the page again."""
