"""Parts of the page Learn BPE: the ranked pairs, the merges so far with a cursor, and the beginning of the text as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.reactive import reactive
from textual.strip import Strip

from lab.core.number_format import counted, whole
from lab.core.visible_text import visible
from screens.blocks.block_layout import bar
from screens.colour import CYCLE, Palette, cycle_style, palette_of
from screens.widgets.line_scroll_view import SCROLL_KEYS, LineScrollView
from screens.widgets.text_fitting import fit

if TYPE_CHECKING:
    from lab.tokenization.bpe_session import BpeState

NEXT, TIED = "▸", "="
"""Marks of the pair to be merged next, and of those that occur as often."""
WIDEST_PAIR = 26
SHORTEST_BAR = 6


class PairList(LineScrollView):
    """The most common pair is first; its bar is full."""

    COMPONENT_CLASSES = {"pairs--next", "pairs--made", "pairs--bar", "pairs--count"}
    DEFAULT_CSS = """
    PairList {
        & > .pairs--next { text-style: bold; }
        & > .pairs--made { color: $foreground 70%; }
        & > .pairs--count { color: $foreground; }
        & > .pairs--bar { color: $primary; }
    }
    """
    BORDER_TITLE = "pair counts"
    HELP = (
        "**Pair counts.** How often two tokens stand side by side in a word, over the whole text. `▸` is merged next; `=` marks "
        "the pairs that occur as often."
    )
    BINDINGS = SCROLL_KEYS

    _state: BpeState | None = None

    def show(self, state: BpeState | None) -> None:
        self._state = state
        self.border_title = self.BORDER_TITLE
        if state is not None:
            first = f"{whole(len(state.pairs))} of " if len(state.pairs) < state.different_pairs else ""
            self.border_title += f" · {first}{counted(state.different_pairs, 'pair')}"
        self.set_extent(len(state.pairs) if state else 0)

    def draw(self, line: int) -> Strip:
        state = self._state
        assert state is not None
        pair = state.pairs[line]
        most = state.pairs[0].count
        mark = NEXT if line == 0 else TIED if pair.count == most else " "
        count = whole(pair.count).rjust(len(whole(most)))
        words = f"{state.spelled(pair.left)} + {state.spelled(pair.right)}"
        pair_width = min(WIDEST_PAIR, max(9, self.room - len(count) - 4 - SHORTEST_BAR))
        made = f" → {state.spelled(pair.left, pair.right)}"
        if cell_len(words) + cell_len(made) > pair_width:
            made = ""
        text = words if made else fit(words, pair_width)
        rest = fit(made, pair_width - cell_len(text))
        bars = self.room - pair_width - len(count) - 4
        base = self.style_of("")
        segments = [
            Segment(f"{mark} ", base + self.style_of("pairs--next")),
            Segment(text, base + self.style_of("pairs--next") if line == 0 else base),
            Segment(rest, base + self.style_of("pairs--made")),
            Segment(f" {count} ", base + self.style_of("pairs--count")),
            Segment(bar(pair.count / most, max(1, bars)), base + self.style_of("pairs--bar")),
        ]
        return Strip(segments).adjust_cell_length(self.room, base)


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

    _state: BpeState | None = None

    @property
    def parts(self) -> str:
        """The parts of the token under the cursor down to single bytes, in words; empty where there is no merge."""
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

    def watch_cursor(self) -> None:
        self.show_line(self.cursor)

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

    _state: BpeState | None = None
    _lines: Sequence[Sequence[Cell]] = ()

    def show(self, state: BpeState | None) -> None:
        self._state = state
        # A Text is no markup: a name may hold brackets.
        if state is None:
            self.border_title = self.BORDER_TITLE
        else:
            marked = " · bold: merged last" if any(id >= state.newest for id in state.excerpt_ids) else ""
            self.border_title = Text(visible(f"the beginning of {state.name}, as tokens{marked}"))
        self.lay_out()

    def lay_out(self) -> None:
        self._lines = lay_strip(self._state, self.room) if self._state else ()
        self.set_extent(len(self._lines))

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
