"""The beginning of the text as the tokens learned so far. Letters keep their places, so that tokens are seen to grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

from lab.core.visible_text import visible
from screens.colour import CYCLE, Palette, cycle_style, palette_of
from screens.widgets.line_scroll_view import SCROLL_KEYS, LineScrollView

if TYPE_CHECKING:
    from lab.tokenization.bpe_session import BpeState

Cell = tuple[str, int, bool]
"""Text, place in the cycle of papers, and True for a token to highlight."""


def lay_strip(state: BpeState, room: int) -> list[list[Cell]]:
    """The tokens in lines of at most `room` cells, with papers dark and light in turn from the start of each line of the text."""
    lines: list[list[Cell]] = [[]]
    at = turn = 0
    for id in state.excerpt_ids:
        paper = (turn + 2 * id) % len(CYCLE)
        turn = 1 - turn
        is_new = id >= state.newest
        label = state.label(id)
        width = cell_len(label)
        if at + width <= room:
            lines[-1].append((label, paper, is_new))
            at += width
        else:
            for character in label:
                width = cell_len(character)
                if at + width > room:
                    lines.append([])
                    at = 0
                lines[-1].append((character, paper, is_new))
                at += width
        if state.vocabulary[id].endswith(b"\n"):
            lines.append([])
            at = turn = 0
    return lines


class TextStrip(LineScrollView):
    """Papers in turn tell tokens apart; without colours every other one is underlined. New tokens stand out in bold."""

    COMPONENT_CLASSES = {"text--new"}
    DEFAULT_CSS = """
    TextStrip {
        & > .text--new { background: $accent; color: $background; text-style: bold; }
    }
    """
    BORDER_TITLE = "the text"
    HELP = "**The text** as the tokens learned so far. Up to ten tokens that the last key made stand out."
    BINDINGS = SCROLL_KEYS

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._state: BpeState | None = None
        self._lines: list[list[Cell]] = []

    def show(self, state: BpeState | None) -> None:
        self._state = state
        # A Text is no markup: a name may hold brackets.
        if state is None:
            self.border_title = self.BORDER_TITLE
        else:
            marked = " · bold: merged last" if any(id >= state.newest for id in state.excerpt_ids) else ""
            self.border_title = Text(visible(f"the beginning of {state.name}, as tokens{marked}"))
        self._lay()

    def _lay(self) -> None:
        self._lines = lay_strip(self._state, self.room) if self._state else []
        self.set_extent(len(self._lines))

    def on_resize(self) -> None:
        self._lay()

    def draw(self, line: int) -> Strip:
        base, palette = self.style_of(""), palette_of(self)
        segments = [Segment(text, base + self._style(palette, paper, is_new)) for text, paper, is_new in self._lines[line]]
        return Strip(segments).adjust_cell_length(self.room, base)

    def _style(self, palette: Palette, paper: int, is_new: bool) -> Style:
        style = cycle_style(palette, paper)
        if not is_new:
            return style
        if not palette.paints:
            return style + Style(reverse=True, bold=True)
        return self.style_of("text--new") + Style(underline=paper % 2 == 1)
