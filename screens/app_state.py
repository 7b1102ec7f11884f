"""The state that all modes share: screens watch it, and ask for a change by posting a message of `screens.messages`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from textual import constants, events, on, work
from textual.app import App
from textual.binding import Binding
from textual.command import CommandPalette
from textual.reactive import var
from textual.screen import ModalScreen
from textual.widget import AwaitMount

from lab.core.errors import UserError
from lab.core.preferences import Preferences, write_preferences
from lab.core.terminal import has_utf8, is_remote
from lab.core.visible_text import quoted
from lab.lessons.translation import ENGLISH, language, use_language
from screens.messages import Arrived, RunChosen, TextChosen

if TYPE_CHECKING:
    from lab.runs.run_summary import RunSummary
    from lab.views.screen_state import ScreenState
    from screens.engine_client import Engine, EngineWarmUp

SMALLEST_WIDTH, SMALLEST_HEIGHT = 60, 16
"""Size of a terminal, in cells, below which modes lose parts that matter."""

NAMES_OF_KEYS = {"⏎": "enter", "⌫": "backspace"}
"""Signs of keys that Textual shows, and the keys' names."""


class AppState(App[None]):
    """The app as its screens see it."""

    text_source: var[str] = var("")
    """The text chosen in Data: a path or a built-in's name; empty until one is chosen."""
    text_encoding: var[str] = var("")
    """The encoding that the user gave for it; empty if it is auto-detected."""
    text_cleaning: var[tuple[str, ...]] = var(TextChosen.cleaning)
    """Names of the cleaning rules chosen for it."""
    run_name: var[str] = var("demo")
    """The run that Train and Inspect show: a name in the user's home, a path, or `demo`. At first the newest, if there is any."""
    runs: var[tuple[RunSummary, ...]] = var((), always_update=True)
    """Every run as last read from disk, newest first, the demo last."""
    runs_known: var[bool] = var(False)
    """True once `runs` has been read."""
    lost_machine: str = ""
    """The machine whose runs are watched, while the connection to it is lost."""
    notes_version: var[int] = var(0)
    """Goes up with each note that this lab writes."""
    language: var[str] = var(ENGLISH)
    """The language of the lessons, claims, quiz and glossary: their pages watch it."""
    preferences: var[Preferences] = var(Preferences())
    """The user's choices, which outlive the lab; changed by `change_preferences` only."""

    def __init__(self, *, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self.release_run: list[Callable[[Path], Awaitable[None]]] = []
        """Awaited with a run's folder before it is renamed or deleted, to close its files."""
        self._engine: Engine | None = None
        self.engine_warm_up: EngineWarmUp | None = None
        """Has an engine ready for the mode that needs it first."""
        self.run_is_chosen = False
        """True once the user has chosen a run: until then it is the newest."""
        self.run_before = ""
        """The run in use where `opened_from` is left, which escape leads back to with it."""
        self.opened_from = ""
        """The mode from which the place in view was opened, such as a lesson's: escape leads back to it."""
        self._is_small = False
        self._changing_runs = False
        self._changes_of_runs = 0
        self._preferences_lock = Lock()
        self._preferences_refused = False
        """True once the user was told that preferences cannot be kept on this disk."""

    def take_styles(self, name: str) -> None:
        """Take a file of styles that the first paint does without, unless it was done."""
        path = Path(__file__).with_name("styles") / name
        if not self.stylesheet.has_source(str(path)):
            self.stylesheet.add_source(path.read_text(encoding="utf-8"), (str(path), ""))
            self.stylesheet.parse()

    @property
    def draws_ascii(self) -> bool:
        """True where the terminal has no UTF-8: it gets ASCII marks instead of signs and of painted half blocks."""
        return not self.is_headless and not self.is_web and not has_utf8(os.environ, getattr(sys.__stdout__, "encoding", ""))

    def get_key_display(self, binding: Binding) -> str:
        """The key as the key bar and the help show it; spelled out where the terminal has no sign for it."""
        shown = super().get_key_display(binding)
        return NAMES_OF_KEYS.get(shown, shown) if self.draws_ascii else shown

    def action_command_palette(self) -> None:
        """Show the palette, unless it is shown already."""
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(CommandPalette(placeholder="Search for commands…", id="--command-palette"))

    def on_resize(self, event: events.Resize) -> None:
        """Say it once when the terminal has become too small."""
        width, height = event.size
        is_small = width < SMALLEST_WIDTH or height < SMALLEST_HEIGHT
        if is_small and not self._is_small:
            self.notify(f"{width}x{height} is too small to show everything; 80x24 is enough.", severity="warning", markup=False)
        self._is_small = is_small

    @property
    def reading_token(self) -> int | None:
        """Stands for the runs on disk as they are now; None while one is renamed or deleted. A reading that began with another
        token is outdated: it may hold a run's old name, or its new one before the screens know of it."""
        return None if self._changing_runs else self._changes_of_runs

    @contextmanager
    def changing_runs(self) -> Iterator[None]:
        """Discard the readings of runs that begin before the end of the block."""
        self._changing_runs = True
        try:
            yield
        finally:
            self._changing_runs = False
            self._changes_of_runs += 1

    async def choose(self, state: ScreenState) -> bool:
        """Choose the text and the run that a state names. False if there is no such run: the user is told, nothing is chosen."""
        if state.mode not in self.MODES:
            self.notify(f"There is no mode called {quoted(state.mode)}.", severity="error", markup=False)
            return False
        if state.run and self.run_summary(state.run) is None:
            from lab.runs.find_runs import open_run

            try:
                await asyncio.to_thread(open_run, state.run)
            except UserError as error:
                self.notify(str(error), severity="error", markup=False)
                return False
        if state.text and state.mode != "data":
            self.text_encoding, self.text_source = state.encoding, state.text
        if state.run and state.run != self.run_name:
            self.run_is_chosen = True
            self.run_name = state.run
        return True

    def show_mode(self, mode: str) -> AwaitMount:
        """Show a mode's own screen, `screen_stack[0]`: one that has opened over it, such as the comparison of runs, is closed."""
        self.opened_from = ""
        shown = self.switch_mode(mode)
        while len(self.screen_stack) > 1 and not isinstance(self.screen, ModalScreen):
            self.pop_screen()
        return shown

    @on(TextChosen)
    def _text_chosen(self, message: TextChosen) -> None:
        self.text_encoding = message.encoding
        self.text_cleaning = message.cleaning
        self.text_source = message.source
        self.remember_text(message.source, message.encoding)
        if message.open_mode:
            self._go_on_to(message.open_mode, "text")

    @on(RunChosen)
    def _run_chosen(self, message: RunChosen) -> None:
        self.run_is_chosen = True
        self.run_name = self.run_before = message.name
        if message.open_mode:
            self._go_on_to(message.open_mode, "run")

    def _go_on_to(self, mode: str, by: Literal["text", "run"]) -> None:
        """Show a mode that a text or a run was chosen for; escape leads back."""
        before = self.current_mode
        self.show_mode(mode)
        self.opened_from, self.run_before = before if before != mode else "", self.run_name
        self.screen_stack[0].post_message(Arrived(by))

    async def text_arrives(self, run: str) -> None:
        """Wait for a run's text, which is here unless the run is another machine's."""

    def refusal(self, action: str) -> str:
        """Why an action is refused where the runs are another machine's; "" where it is not."""
        return ""

    def run_summary(self, name: str) -> RunSummary | None:
        """The run of that name as last read."""
        return next((run for run in self.runs if name in (run.name, str(run.path))), None)

    def shared_engine(self) -> Engine:
        """The engine of all modes: PyTorch and the models are loaded once. It starts with the first question."""
        if self._engine is None:
            from lab.engine.client import EngineClient

            self._engine = (self.engine_warm_up and self.engine_warm_up.take()) or EngineClient()
        return self._engine

    def newest_run(self) -> RunSummary | None:
        """The run that Train shows unasked: one that trains, else the user's own that is in use, else the one that ended last."""
        shown = (run for run in self.runs if run.is_active or run.is_own)
        return max(shown, key=lambda run: (run.is_active, run.name == self.run_name, run.last_heartbeat), default=None)

    def active_runs(self) -> list[str]:
        """Names of the runs that have a trainer now."""
        return [run.name for run in self.runs if run.is_active]

    def watch_preferences(self, old: Preferences, new: Preferences) -> None:
        """Move nothing on screen bit by bit where the user wants that, nor over SSH, where each frame is sent."""
        if new.animation == "off" or is_remote(os.environ):
            self.animation_level = "none"
        elif old.animation == "off":
            self.animation_level = constants.TEXTUAL_ANIMATIONS
        if new.language != old.language:
            self._use_language(new.language)

    def _use_language(self, code: str) -> None:
        use_language(code)
        self.language = language()

    def choose_language(self, code: str) -> None:
        """Use a language from now on, even where it is the kept one and the environment asked for another."""
        self.change_preferences(language=code)
        self._use_language(code)

    def change_preferences(self, **changes: Any) -> None:
        """Change fields of the preferences, and keep them on disk. Where that is impossible the user is told once."""
        self.preferences = msgspec.structs.replace(self.preferences, **changes)
        self._keep_preferences(tuple(changes))

    @work(thread=True, group="preferences")
    def remember_text(self, source: str, encoding: str) -> None:
        """Keep a text among the recent ones. That is a convenience, so that where it is impossible nothing is said."""
        from lab.data.source_files import remember_text
        from lab.runs.home_folder import home

        with self._preferences_lock, suppress(UserError):
            remember_text(home(), source, encoding)

    @work(thread=True, group="preferences")
    def _keep_preferences(self, names: tuple[str, ...]) -> None:
        from lab.runs.home_folder import home

        with self._preferences_lock:
            # The newest values, whichever thread comes first; other labs may have changed the other fields.
            values = {name: getattr(self.preferences, name) for name in names}
            try:
                write_preferences(home(), self._warn, **values)
            except UserError as error:
                if not self._preferences_refused:
                    self._preferences_refused = True
                    self._warn(str(error))

    def _warn(self, words: str) -> None:
        """Notify the user, from a thread."""
        self.call_from_thread(self.notify, words, severity="warning", markup=False)
