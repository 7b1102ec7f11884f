"""A choice of one option on one line, `‹ micro ›`, changed with the arrows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.core.visible_text import visible
from screens.about_key import About, described
from screens.widgets.text_fitting import fit, painted_line


class Choice(Widget, can_focus=True):
    """For few options: needs fewer keys than a list that opens."""

    BINDINGS = described(
        Binding("right,l,space", "turn(1)", "Change", id="choice.next", key_display="←/→", tooltip="The next option"),
        About(also=("choice.previous",)),
        Binding("left,h", "turn(-1)", "Previous", id="choice.previous", show=False, tooltip="The previous option"),
    )
    COMPONENT_CLASSES = {"choice--word", "choice--arrows"}
    DEFAULT_CSS = """
    Choice {
        height: 1; width: auto;
        & > .choice--word { text-style: bold; }
        & > .choice--arrows { color: $footer-key-foreground; }
        &:focus > .choice--word { background: $block-cursor-background; color: $block-cursor-foreground; text-style: bold; }
    }
    """

    value: reactive[str] = reactive("")
    words: reactive[str] = reactive("")
    """Shown in place of the value, where another decides it; empty for the value."""

    @dataclass
    class Changed(Message):
        """Another option was chosen."""

        value: str
        choice: Choice

    def __init__(self, options: Sequence[str], value: str, *, id: str | None = None, tooltip: str | None = None) -> None:
        super().__init__(id=id)
        self.options = list(options)
        self.set_reactive(Choice.value, value)
        self.tooltip = tooltip

    def get_content_width(self, container: object, viewport: object) -> int:
        return max(map(cell_len, self.options)) + 4

    def validate_value(self, value: str) -> str:
        return value if value in self.options else self.options[0]

    def watch_value(self, value: str) -> None:
        self.post_message(self.Changed(value, self))

    def action_turn(self, by: int) -> None:
        self.value = self.options[(self.options.index(self.value) + by) % len(self.options)]

    def on_click(self, event: events.Click) -> None:
        self.action_turn(-1 if event.x < 2 else 1)

    def render_line(self, y: int) -> Strip:
        pieces = [("‹ ", "arrows"), (visible(self.value), "word"), (" ›", "arrows")]
        return painted_line(self, "choice", [(fit(self.words, self.size.width), "word")] if self.words else pieces)
