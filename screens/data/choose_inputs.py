"""Inputs of the page Choose: a path with Tab completion as in a shell, and a size on a logarithmic slider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual import events, on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Input

from lab.data.path_completion import common_start, completed_name, completions, typed_line, typed_source
from screens.background import in_thread, latest
from screens.widgets.choice import Choice

SIZES = ("100kB", "300kB", "1MB", "3MB", "10MB", "30MB", "100MB")
"""Sizes of the built-in text `stories` that the slider has; any other is typed, such as stories:5MB."""
TRACK = 3


class SizeSlider(Choice):
    """The sizes as a choice, with the place on a track behind it."""

    HELP = "**Size** of the made-up text: `←` `→`, or `+` `-` on the whole page. Other sizes are typed as a path: `stories:5MB`."

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(SIZES, "1MB", id=id, tooltip="Size of the text that the grammar makes up")

    def get_content_width(self, container: object, viewport: object) -> int:
        return super().get_content_width(container, viewport) + 3 + TRACK * (len(SIZES) - 1) + 1

    @property
    def _track_start(self) -> int:
        return super().get_content_width(None, None) + 2

    def action_turn(self, by: int) -> None:
        """Move by one size; a slider has ends."""
        self.value = self.options[max(0, min(len(self.options) - 1, self.options.index(self.value) + by))]

    def on_click(self, event: events.Click) -> None:
        place = round((event.x - self._track_start) / TRACK)
        if event.x < self._track_start - 1:
            self.action_turn(-1 if event.x < 2 else 1)
        else:
            self.value = self.options[max(0, min(len(self.options) - 1, place))]

    def render_line(self, y: int) -> Strip:
        arrows, word = self.get_component_rich_style("choice--arrows"), self.get_component_rich_style("choice--word")
        at = self.options.index(self.value) * TRACK
        before, after = "─" * at, "─" * (TRACK * (len(self.options) - 1) - at)
        head = [Segment("‹ ", arrows), Segment(self.value, word), Segment(" ›", arrows)]
        gap = " " * (self._track_start - 1 - sum(segment.cell_length for segment in head))
        track = [Segment(f"{gap}├{before}", self.rich_style), Segment("●", word), Segment(f"{after}┤", self.rich_style)]
        return Strip([*head, *track]).adjust_cell_length(self.size.width, self.rich_style)


class PathInput(Input):
    """Completions are looked up off the event loop and posted as `Candidates`."""

    HELP: ClassVar[str | None] = """
**The path** of a text file or of a folder, a pattern such as `notes/**/*.md`, or `stories` (`stories:5MB`) or `python`;
several with spaces between, each completed by Tab. A path with spaces stands in quotes there. Enter chooses.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Choose", id="path.choose", tooltip="Read this text"),
        Binding("tab", "complete", "Complete", id="path.complete", tooltip="Complete the path, or focus the next field"),
    ]

    @dataclass
    class Candidates(Message):
        """Completions of the typed text."""

        typed: str
        names: list[str]
        """Name of the path that each line completes."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, compact=True)
        self.placeholder = "file, folder, notes/*.md, stories or python"
        self._candidates: tuple[str, list[str]] = ("", [])
        self._taken = ""
        self._to_complete: str | None = None
        """The text that Tab was pressed at, before its completions were known."""

    def follow(self, source: str, *, taken: bool) -> None:
        """Show the line of the text in use if it was `taken`, else nothing in place of that before. What is being typed stays."""
        if typed_source(self.value) != source and (taken or self.value == self._taken):
            self.value = typed_line(source) if taken else ""
            self.cursor_position = len(self.value)
        if taken:
            self._taken = self.value

    @on(Input.Changed)
    @latest("completions")
    async def _look_up(self, event: Input.Changed) -> None:
        typed = event.value
        lines = await in_thread(completions, typed) if typed else []
        if typed != self.value:
            return  # another text was typed meanwhile
        self.post_message(self.Candidates(typed, [completed_name(line) for line in lines]))
        self._candidates = (typed, lines)
        if self._to_complete == typed and self.has_focus:
            self.action_complete()

    def action_complete(self) -> None:
        typed, names = self._candidates
        self._to_complete = self.value if typed != self.value else None
        if self._to_complete is not None:
            return  # `_look_up` goes on
        longer = common_start(names)
        if len(longer) > len(typed):
            self.value = longer
            self.cursor_position = len(longer)
        elif not names or names == [typed]:
            self.screen.focus_next()
