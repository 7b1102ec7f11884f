"""A text field for a path, which Tab completes as a shell does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from lab.data.file_browser import common_start, completions


class PathInput(Input):
    """What the typed beginning may become is looked up beside the event loop; `Candidates` tells it."""

    HELP: ClassVar[str | None] = """
**The path.** Type the path of a text file, or `stories` or `python`. Tab completes what is typed; enter takes it.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "Complete", id="path.complete", tooltip="Complete what is typed, or go on to the next field"),
    ]

    @dataclass
    class Candidates(Message):
        """What the typed text may become."""

        typed: str
        names: list[str]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, placeholder="path of a text file, or stories, or python", compact=True)
        self._candidates: tuple[str, list[str]] = ("", [])

    @on(Input.Changed)
    def _look_up(self, event: Input.Changed) -> None:
        self._find(event.value)

    @work(thread=True, group="completions", exclusive=True, exit_on_error=True)
    def _find(self, typed: str) -> None:
        self.post_message(self.Candidates(typed, completions(typed) if typed else []))

    @on(Candidates)
    def _found(self, message: Candidates) -> None:
        self._candidates = (message.typed, message.names)

    def action_complete(self) -> None:
        typed, names = self._candidates
        longer = common_start(names)
        if typed == self.value and len(longer) > len(typed):
            self.value = longer
            self.cursor_position = len(longer)
        elif typed == self.value and (not names or names == [typed]):
            self.screen.focus_next()
