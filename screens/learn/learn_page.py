"""The base classes of the pages of Learn: a list beside what is read, and the box that it is read in."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Protocol

from rich.text import Text
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.reactive import var

from lab.core.visible_text import visible
from lab.runs.home_folder import BUNDLED
from lab.views.screen_state import ScreenState
from screens.app_state import AppState
from screens.base_screen import Page
from screens.learn.learn_engine import LearnEngine


class ReadingBox(VerticalScroll, inherit_bindings=False):
    """A box around a text."""

    DEFAULT_CSS = """
    ReadingBox {
        border: round $foreground 30%; padding: 0 1; border-subtitle-color: $foreground 70%; border-title-color: $foreground 90%;
        &:focus { border: round $accent; }
    }
    """
    BINDINGS = [
        Binding("j,down", "scroll_down", "Scroll", id="reading.down", key_display="j/k", tooltip="Scroll down"),
        Binding("k,up", "scroll_up", "Up", id="reading.up", show=False, tooltip="Scroll up"),
    ]

    further: var[str] = var("")
    """Words on the key that leads further, for the lower border."""

    model: var[str] = var("")
    """The run that the view below computes on, and what is to be said of it."""

    is_chosen: var[bool] = var(True)
    """True where the key `m` chooses that run."""

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._mark_rest()

    @property
    def below(self) -> int:
        """Lines below those in sight."""
        return max(0, self.virtual_size.height - round(self.scroll_y) - self.scrollable_content_region.height)

    def _mark_rest(self) -> None:
        """Tell in the lower border the model, the lines below and the key that leads further."""
        below = self.below
        rest = f"↓ {below} more line{'s' if below > 1 else ''} · ^d" if below > 0 else ""
        model = f"model: {visible(self.model)}{' · m' * self.is_chosen}" if self.model else ""
        self.border_subtitle = Text(" · ".join(filter(None, (model, rest, self.further))))

    watch_further = watch_model = watch_is_chosen = watch_virtual_size = _mark_rest


def run_in_words(run: str, lab: AppState) -> str:
    """The run, and that it is none of the learner's, where there are some that could be chosen instead."""
    return f"{run}, not your run" if run in BUNDLED and any(each.is_own for each in lab.runs) else run


class LearnPage(Page):
    """One page, mounted with the screen."""

    engine: LearnEngine
    """The engine of the mode; set by the screen."""
    run: var[str] = var("")
    """The run to compute on; set by the screen."""

    def screen_resumed(self) -> None:
        """Follow the mode's return into view."""

    def take_focus(self) -> None:
        """Focus the widget that has the keys when the page opens."""

    def screen_state(self) -> ScreenState:
        """The place in the page."""
        return ScreenState(mode="learn", page=self.LINK.name, run=self.run)

    def restore_state(self, state: ScreenState) -> None:
        """Show a place of the page."""


class Reader(Protocol):
    def take_focus(self) -> None: ...

    def leave(self) -> bool: ...


class ReadingPage(LearnPage):
    """Has the class `-reading` while an entry of the list is read."""

    LIST: ClassVar[str]
    """Selector of the list."""
    TEXT: ClassVar[str]
    """Selector of the text being read."""

    @property
    @abstractmethod
    def reader(self) -> Reader:
        """The part that shows the entry."""

    def close_reading(self) -> None:
        """Back to the list."""
        self.remove_class("-reading")
        self.query_one(self.LIST).focus()

    def take_focus(self) -> None:
        if self.has_class("-reading"):
            self.reader.take_focus()
        else:
            self.query_one(self.LIST).focus()

    def resting_focus(self) -> str | None:
        return self.TEXT if self.has_class("-reading") else self.LIST

    def go_back(self) -> bool:
        if not self.has_class("-reading"):
            return False
        if not self.reader.leave():
            self.close_reading()
        return True
