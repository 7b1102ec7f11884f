"""The pairs of neighbouring tokens as a ranked bar list: the pair, the token it would make, and how often it occurs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from textual.strip import Strip

from lab.core.number_format import counted, whole
from screens.blocks.bars_and_shades import bar
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
