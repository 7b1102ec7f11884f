"""The app: six modes that stay alive side by side, and the state that they share."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, cast

from textual import on
from textual.app import App
from textual.binding import Binding
from textual.reactive import reactive
from textual.screen import Screen

from screens.base import LabScreen
from screens.messages import ModeChosen, RunChosen, TextChosen
from screens.widgets.mode_bar import MODES as MODE_NAMES


def _screen_of(mode: str) -> Callable[[], Screen[Any]]:
    """A function that imports a mode's module when the mode is first visited, and makes its screen."""

    def make() -> Screen[Any]:
        module = import_module(f"screens.{mode}")
        return cast(Screen[Any], getattr(module, f"{mode.title()}Screen")())

    return make


class LabApp(App[None]):
    """llmlab's terminal interface."""

    TITLE = "llmlab"
    CSS_PATH = Path(__file__).with_name("lab.tcss")
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {mode: _screen_of(mode) for mode in MODE_NAMES}
    DEFAULT_MODE = "home"
    BINDINGS = [
        *(
            Binding(
                str(number),
                f"mode('{mode}')",
                mode.title(),
                id=f"mode.{mode}",
                show=False,
                tooltip=f"Show the mode {mode.title()}",
            )
            for number, mode in enumerate(MODE_NAMES, 1)
        ),
        Binding("question_mark", "help", "Help", id="app.help", show=False, tooltip="What this screen is for, and all its keys"),
        Binding("q", "quit", "Quit", id="app.quit", show=False, tooltip="Leave the lab; a run that is training goes on"),
    ]

    text_source: reactive[str] = reactive("")
    """The text chosen in Data: a path or a built-in's name; empty until one is chosen."""
    run_name: reactive[str] = reactive("")
    """The run that Train and Inspect show: a name in the user's home or `demo`."""

    def __init__(self, run: str = "", text: str = "") -> None:
        super().__init__()
        self.set_reactive(LabApp.run_name, run or "demo")
        self.set_reactive(LabApp.text_source, text)

    def action_mode(self, mode: str) -> None:
        self.switch_mode(mode)

    def action_help(self) -> None:
        from screens.help import HelpScreen

        screen = self.screen
        if isinstance(screen, LabScreen):
            self.push_screen(HelpScreen(screen))

    @on(ModeChosen)
    def _mode_chosen(self, message: ModeChosen) -> None:
        self.switch_mode(message.mode)

    @on(TextChosen)
    def _text_chosen(self, message: TextChosen) -> None:
        self.text_source = message.source

    @on(RunChosen)
    def _run_chosen(self, message: RunChosen) -> None:
        self.run_name = message.name
        if message.open_mode:
            self.switch_mode(message.open_mode)
