"""Base classes of the pages of Learn: a list beside what is read, the box around that, and the engine that they share."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from rich.text import Text
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.reactive import var

from lab.core.visible_text import visible
from lab.engine.client import EngineDied, EngineError
from lab.engine.method_registry import RELEASE, EngineMethod, ReleaseParams
from lab.runs.home_folder import BUNDLED
from lab.views.screen_state import ScreenState
from screens.app_state import AppState
from screens.base_screen import Page
from screens.engine_client import Engine

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Refused:
    """An answer that did not come: the sentence that says why."""

    sentence: str
    engine_died: bool


class LearnEngine:
    """Asks the shared engine for the live widgets."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asking: dict[str, asyncio.Task[None]] = {}
        self.kept: dict[str, Any] = {}
        """Work of the user that a live widget keeps for the next step that shows it, by the widget's name."""
        self._starts_answered = 0
        """Number of the start of the process that has answered last."""

    @property
    def is_idle(self) -> bool:
        """True when every question has been answered, refused or replaced."""
        return not self._asking

    @property
    def is_loading(self) -> bool:
        """True until the engine has answered once: the first answer waits for PyTorch, also after an engine that was killed."""
        return self._starts_answered != self._engine.starts or self._engine.pid is None

    def ask(
        self, key: str, method: EngineMethod[P, R], params: P, answered: Callable[[R], Any], refused: Callable[[Refused], Any]
    ) -> None:
        """Ask; one of the two is called with the answer. A newer question of the same key replaces an older one."""

        async def asking() -> None:
            try:
                answer = await self._engine.call(method, params)
            except EngineDied as died:
                refused(Refused(f"{died} The next key starts another engine.", True))
            except EngineError as error:
                self._starts_answered = self._engine.starts
                refused(Refused(str(error), False))
            else:
                self._starts_answered = self._engine.starts
                answered(answer)

        self.forget(key)
        task = asyncio.create_task(asking(), name=f"learn {key}")
        self._asking[key] = task
        task.add_done_callback(lambda ended: self._ended(key, ended))

    def forget(self, key: str) -> None:
        """Give up the question of this key, if there is one."""
        task = self._asking.pop(key, None)
        if task is not None:
            task.cancel()

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        if self._asking.get(key) is task:
            del self._asking[key]
        if not task.cancelled():
            task.result()  # a fault of the lab is raised, not kept silent

    async def release(self, path: Path) -> None:
        """Close the run in this folder, so that it can be renamed or deleted."""
        if self._engine.pid is not None:
            with suppress(EngineDied):  # then it holds nothing
                await self._engine.call(RELEASE, ReleaseParams(path=str(path)))

    async def close(self) -> None:
        for key in list(self._asking):
            self.forget(key)
        await self._engine.close()


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
