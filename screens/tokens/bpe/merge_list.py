"""The merges learned so far, the newest first, with a cursor: each token and the two that it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from lab.core.number_format import counted, whole
from screens.widgets.line_scroll_view import LineScrollView
from screens.widgets.text_fitting import fit

if TYPE_CHECKING:
    from lab.tokenization.bpe_session import BpeState

CURSOR, TIE = "›", "="
"""Marks of the line with the cursor, and of a merge that was chosen from several pairs that occurred as often."""


class MergeList(LineScrollView):
    """The cursor stays on its merge while others land; at the top it stays on the newest."""

    COMPONENT_CLASSES = {"merges--cursor", "merges--number", "merges--count"}
    DEFAULT_CSS = """
    MergeList {
        & > .merges--cursor { text-style: bold; }
        & > .merges--number { color: $foreground 60%; }
        & > .merges--count { color: $foreground 70%; }
        &:focus > .merges--cursor { text-style: reverse; }
    }
    """
    BORDER_TITLE = "merges"
    HELP = "**Merges.** Number, token, its two parts, and how often the pair occurred; `=` marks a merge that won a tie."
    BINDINGS = [
        Binding("down,j", "choose(1)", "Down", id="merges.down", show=False, tooltip="The merge before"),
        Binding("up,k", "choose(-1)", "Up", id="merges.up", show=False, tooltip="The merge after"),
        Binding("pagedown", "choose(10)", "Page down", id="merges.page_down", show=False, tooltip="Ten merges down"),
        Binding("pageup", "choose(-10)", "Page up", id="merges.page_up", show=False, tooltip="Ten merges up"),
        Binding("home", "choose(-10000000)", "Newest", id="merges.first", show=False, tooltip="The newest merge"),
        Binding("end", "choose(10000000)", "First", id="merges.last", show=False, tooltip="The first merge"),
    ]

    cursor: reactive[int] = reactive(0)
    """Line of the cursor: 0 is the newest merge."""

    @dataclass
    class Chosen(Message):
        """The cursor stands on another token: its parts down to single bytes, in words; empty where there is no merge."""

        parts: str

    _state: BpeState | None = None

    @property
    def parts(self) -> str:
        state = self._state
        return state.parts(state.merges[-1 - self.cursor].id) if state and state.merges else ""

    def show(self, state: BpeState | None) -> None:
        before = len(self._state.merges) if self._state else 0
        self._state = state
        count = len(state.merges) if state else 0
        cursor = self.cursor + count - before if self.cursor else 0
        self.border_title = counted(count, "merge") if count else self.BORDER_TITLE
        self.set_reactive(MergeList.cursor, max(0, min(cursor, count - 1)))
        self.set_extent(count)
        self.show_line(self.cursor)
        self.post_message(self.Chosen(self.parts))

    def watch_cursor(self) -> None:
        self.show_line(self.cursor)
        self.refresh()
        self.post_message(self.Chosen(self.parts))

    def draw(self, line: int) -> Strip:
        state = self._state
        assert state is not None
        merge = state.merges[-1 - line]
        base = self.style_of("")
        if line == self.cursor:
            base += self.style_of("merges--cursor")
        number = whole(merge.number).rjust(len(whole(len(state.merges))))
        count = f"{TIE if merge.tied > 1 else ' '}{whole(merge.count)}"
        words = f"{state.spelled(merge.id)} = {state.spelled(merge.left)} + {state.spelled(merge.right)}"
        segments = [
            Segment(CURSOR if line == self.cursor else " ", base),
            Segment(f"{number} ", base + self.style_of("merges--number")),
            Segment(fit(words, max(1, self.room - len(number) - 3 - len(count))), base),
            Segment(f" {count}", base + self.style_of("merges--count")),
        ]
        return Strip(segments).adjust_cell_length(self.room, base)

    def action_choose(self, by: int) -> None:
        self.cursor = max(0, min(self.cursor + by, self.extent[0] - 1))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and self.line_at(offset.y) < self.extent[0]:
            self.cursor = self.line_at(offset.y)
