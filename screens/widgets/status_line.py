"""The status line: text at the left and parts at the right, which are dropped if they do not fit."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.css.scalar import Scalar
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.core.visible_text import visible
from screens.widgets.text_fitting import fit, painted_line, wrap

GAP = "  "
"""Between two parts."""


class StatusLine(Widget):
    """Cheap to change: a new text redraws one line, and lays out the screen only if it needs more or fewer lines."""

    COMPONENT_CLASSES = {"line--left", "line--right"}
    DEFAULT_CSS = """
    StatusLine {
        height: 1; padding: 0 1;
        & > .line--left { color: $foreground; }
        & > .line--right { color: $foreground 65%; }
        &.-error > .line--left { color: $error; text-style: bold; }
    }
    """

    @dataclass
    class Clicked(Message):
        """A part at the right was clicked on."""

        part: str
        line: StatusLine

        @property
        def control(self) -> StatusLine:
            return self.line

    @dataclass
    class TextClicked(Message):
        """The text at the left was clicked on, at this character cell of its first line."""

        at: int

    left: reactive[str] = reactive("")
    mark: reactive[str] = reactive("")
    """A sign before the text, such as that of work going on."""
    right: reactive[tuple[str, ...]] = reactive(())
    """Parts, the least important first."""

    def __init__(self, *, most_lines: int = 1, id: str | None = None) -> None:
        """With `most_lines` above 1, a long text is wrapped into at most so many lines."""
        super().__init__(id=id)
        self._most_lines = most_lines
        self._lines = [""]
        self._shown: list[str] = []
        """The parts that fit."""

    def say(self, words: str, *, error: bool = False) -> None:
        """Show `words` at the left, in the colour of errors for `error`."""
        self.set_class(error, "-error")
        self.left = words

    def _wrap(self) -> None:
        width, words = self.content_size.width, self.left
        if self._most_lines == 1 or cell_len(words) <= width or width < 1:
            self._lines = [words]
        else:
            lines = wrap(words, width)
            first = self._most_lines - 1
            self._lines = [*lines[:first], " ".join(lines[first:])] if len(lines) > first else lines
        if self.is_attached and self.styles.height != Scalar.from_number(len(self._lines)):
            self.styles.height = len(self._lines)

    watch_left = on_resize = _wrap

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        words = self._lines[y] if y < len(self._lines) else ""
        if self.mark and y == 0:
            words = f"{self.mark} {words}"
        parts = [visible(part) for part in self.right] if y == 0 else []
        while parts and cell_len(words) + 2 + cell_len(GAP.join(parts)) > width:
            parts.pop(0)
        if y == 0:
            self._shown = parts
        right = GAP.join(parts)
        left = fit(words, max(0, width - cell_len(right)))
        return painted_line(self, "line", [(left, "left"), (right, "right")])

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or offset.y:
            return
        end = self.content_size.width
        for part in reversed(self._shown):
            if end - cell_len(part) <= offset.x < end:
                self.post_message(self.Clicked(part, self))
                return
            end -= cell_len(part) + len(GAP)
        self.post_message(self.TextClicked(offset.x))
