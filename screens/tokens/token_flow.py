"""The tokens of a text, laid out in rows, with a cursor on one of them."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.reactive import var
from textual.strip import Strip

from lab.tokenization.token_alignment import Ints, wrap_rows
from screens.about_key import About, described
from screens.colour import CYCLE, cycle_style, palette_of
from screens.widgets.line_scroll_view import CachedLinesView
from screens.widgets.text_fitting import fit

NO_TOKENS = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class JoinedCharacters:
    """All characters that no single token holds, in order."""

    firsts: Ints
    ends: Ints
    label_of: Callable[[int], str] = str
    """The label of the character with that number, asked for where it is in sight."""


NONE_JOINED = JoinedCharacters(NO_TOKENS, NO_TOKENS)


@dataclass(frozen=True, eq=False)
class FlowLayout:
    """Tokens in rows of at most `room` cells, `gap` cells behind each, with `below` lines under them. Above a row with joined
    characters is a line for these."""

    widths: Sequence[int]
    """Cells of each token, no wider than the room."""
    gap: int
    ends: Sequence[int]
    """Cells of all tokens up to and with each, gaps included."""
    rows: Sequence[int]
    """The first token of each row."""
    lines: Sequence[int]
    """The line of each row's tokens."""
    height: int
    joined: JoinedCharacters
    joined_firsts: Sequence[int]
    joined_ends: Sequence[int]
    below: int = 0

    def row_at(self, line: int) -> tuple[int, int]:
        """The row that a line belongs to, and the line's place in it: 0 for the tokens, -1 above them, 1 below."""
        row = bisect_left(self.lines, line - self.below)
        return row, line - self.lines[row] if row < len(self.lines) else -1

    def row_of(self, token: int) -> int:
        return bisect_right(self.rows, token) - 1

    def tokens_of(self, row: int) -> range:
        return range(self.rows[row], self.rows[row + 1] if row + 1 < len(self.rows) else len(self.widths))

    def start_of(self, token: int) -> int:
        return self._before(token) - self._before(self.rows[self.row_of(token)])

    def _before(self, token: int) -> int:
        return self.ends[token - 1] if token else 0

    def token_at(self, row: int, cell: int) -> int:
        """The token at a cell of a row, or the nearest one in it."""
        tokens = self.tokens_of(row)
        found = bisect_right(self.ends, self._before(tokens.start) + max(0, cell), tokens.start, tokens.stop)
        return min(found, tokens.stop - 1)

    def joined_in(self, row: int) -> range:
        """The numbers of the joined characters that have tokens in a row."""
        tokens = self.tokens_of(row)
        return range(bisect_right(self.joined_ends, tokens.start), bisect_left(self.joined_firsts, tokens.stop))


def lay_tokens(
    widths: Ints, breaks: Ints, room: int, gap: int = 0, joined: JoinedCharacters = NONE_JOINED, below: int = 0
) -> FlowLayout:
    """Wrap tokens into rows, a joined character's into one where they fit. After each of `breaks` a row ends."""
    widths = np.minimum(widths, max(1, room - gap))
    ends = np.cumsum(widths + gap)
    joined_firsts, joined_ends = joined.firsts.tolist(), joined.ends.tolist()

    def whole_characters(start: int, end: int) -> int:
        """`end`, or the first token of the joined character that it would cut, unless that has begun with the row."""
        moved = end
        while (at := bisect_right(joined_ends, moved)) < len(joined_ends) and start < joined_firsts[at] < moved:
            moved = joined_firsts[at]
        return moved

    rows = wrap_rows(ends, breaks, room, whole_characters)
    starts = np.array(rows, np.int64)
    first_joined = np.searchsorted(joined.ends, starts, "right")
    has_joined = np.append(joined.firsts, len(widths))[first_joined] < np.append(starts[1:], len(widths))
    lines = (np.arange(len(rows)) * (1 + below) + np.cumsum(has_joined)).tolist()
    height = lines[-1] + 1 + below if rows else 0
    return FlowLayout(widths.tolist(), gap, ends.tolist(), rows, lines, height, joined, joined_firsts, joined_ends, below)


BAR = "│"
"""Between two tokens where paper alone cannot tell them apart."""


@dataclass(frozen=True, eq=False)
class FlowTokens:
    """Tokens to draw: ids, labels, widths in cells, the tokens after which a line of the text ends, joined characters."""

    ids: Sequence[int] = ()
    label_of: Callable[[int], str] = str
    """The label of an id, asked for where it is in sight."""
    widths: Ints = field(default_factory=lambda: NO_TOKENS)
    breaks: Ints = field(default_factory=lambda: NO_TOKENS)
    joined: JoinedCharacters = NONE_JOINED
    special: frozenset[int] = field(default_factory=frozenset)
    has_bars: bool = False
    """True for digits, which run together whatever their paper. Other tokens have their ids below them where there is room."""


def joined_line(layout: FlowLayout, row: int) -> list[tuple[str, bool]]:
    """The line above a row: each joined character over its tokens, `╭─🙂─╮`, with the cells between; True for characters."""
    pieces: list[tuple[str, bool]] = []
    tokens, at = layout.tokens_of(row), 0
    for number in layout.joined_in(row):
        first, last = max(layout.joined_firsts[number], tokens.start), min(layout.joined_ends[number], tokens.stop) - 1
        start = max(at, layout.start_of(first))
        width = layout.start_of(last) + layout.widths[last] - start
        if width < 1:
            continue
        pieces += [(" " * (start - at), False), (_over(layout.joined.label_of(number), width), True)]
        at = start + width
    return pieces


def _over(character: str, width: int) -> str:
    """The character in the middle of so many cells, with a bracket around it where there is room."""
    room = width - cell_len(character) - 2
    if room < 0:
        return fit(character, width)
    return f"╭{'─' * (room // 2)}{character}{'─' * (room - room // 2)}╮"


class TokenFlow(CachedLinesView):
    """Papers in turn, or bars where there is no colour, tell the tokens apart; the chosen one is inverted."""

    COMPONENT_CLASSES = {"flow--chosen", "flow--bar", "flow--special", "flow--joined"}
    DEFAULT_CSS = """
    TokenFlow {
        & > .flow--chosen { text-style: reverse bold; }
        & > .flow--bar { color: $foreground 40%; }
        & > .flow--joined { color: $foreground 80%; }
        & > .flow--special { text-style: bold underline; }
    }
    """
    HELP = (
        "**The tokens.** Each has its id under it where there is room. The card has the bytes of the chosen one, its merges and "
        "its relatives; a click chooses, too. A character of several tokens stands in a bracket over their bytes."
    )
    BINDINGS = described(
        Binding("right,l", "choose(1)", "Token", id="flow.right", key_display="←/→", tooltip="The next token"),
        About(synonyms="next token merge tree id rank corpus frequency card"),
        Binding("left,h", "choose(-1)", "Left", id="flow.left", show=False, tooltip="The previous token"),
        Binding("down,j", "line(1)", "Down", id="flow.down", show=False, tooltip="One line down"),
        Binding("up,k", "line(-1)", "Up", id="flow.up", show=False, tooltip="One line up"),
        Binding("pagedown", "line(10)", "Ten down", id="flow.page_down", show=False, tooltip="Ten lines down"),
        Binding("pageup", "line(-10)", "Ten up", id="flow.page_up", show=False, tooltip="Ten lines up"),
        Binding("home", "end(0)", "First", id="flow.first", show=False, tooltip="The first token"),
        Binding("end", "end(-1)", "Last", id="flow.last", show=False, tooltip="The last token"),
    )

    chosen: var[int] = var(0)

    @dataclass
    class Chosen(Message):
        """The user has chosen another token."""

        index: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._tokens = FlowTokens()
        self._layout = lay_tokens(NO_TOKENS, NO_TOKENS, 1)
        self._fitted: dict[tuple[int, int], str] = {}

    def show(self, tokens: FlowTokens, chosen: int | None = None) -> None:
        """Draw other tokens, and choose one of them, by default the one at the place chosen before."""
        if tokens.label_of != self._tokens.label_of:
            self._fitted.clear()
            self.forget_strips()
        self._tokens = tokens
        self.set_reactive(TokenFlow.chosen, max(0, min(self.chosen if chosen is None else chosen, len(tokens.ids) - 1)))
        self.lay_out()

    def lay_out(self) -> None:
        tokens = self._tokens
        gap = 1 if tokens.has_bars or not palette_of(self).paints else 0
        self._layout = lay_tokens(tokens.widths, tokens.breaks, self.room, gap, tokens.joined)
        if not tokens.has_bars and 2 * len(self._layout.rows) <= self.window:
            widths = np.maximum(tokens.widths, [len(str(id)) for id in tokens.ids])
            with_ids = lay_tokens(widths, tokens.breaks, self.room, 1, tokens.joined, below=1)
            self._layout = with_ids if with_ids.height <= self.window else self._layout
        self.set_extent(self._layout.height, changed=())
        self._reveal()
        self.draw_changed()

    def choose(self, index: int) -> None:
        """Choose a token for the user, and tell that it was chosen."""
        index = max(0, min(index, len(self._tokens.ids) - 1))
        if index != self.chosen:
            self.chosen = index
            self.post_message(self.Chosen(index))

    def watch_chosen(self) -> None:
        self._reveal()
        self.draw_changed()

    def _reveal(self) -> None:
        if self._layout.rows:
            row = self._layout.row_of(self.chosen)
            before = self._layout.lines[row - 1] + 1 if row else 0
            self.show_line(before)
            self.show_line(self._layout.lines[row])

    def content_of(self, line: int) -> Hashable:
        layout, tokens = self._layout, self._tokens
        row, place = layout.row_at(line)
        if place < 0:
            return tuple(joined_line(layout, row))
        of_row = layout.tokens_of(row)
        special = tuple(at - of_row.start for at in of_row if at in tokens.special) if tokens.special else ()
        chosen = self.chosen - of_row.start if self.chosen in of_row else None
        return layout.below, place, of_row.start % len(CYCLE), tuple(tokens.ids[of_row.start : of_row.stop]), special, chosen

    def draw_content(self, line: int) -> Strip:
        layout, tokens = self._layout, self._tokens
        row, place = layout.row_at(line)
        base, joined = self.style_of(""), self.style_of("flow--joined")
        if place < 0:
            pieces = [Segment(text, joined if over else base) for text, over in joined_line(layout, row)]
            return Strip(pieces).adjust_cell_length(self.room, base)
        palette = palette_of(self)
        papers = [base + cycle_style(palette, at) if palette.paints else base for at in range(len(CYCLE))]
        between = Segment(BAR if tokens.has_bars or not palette.paints else " ", self.style_of("flow--bar"))
        segments: list[Segment] = []
        for index in layout.tokens_of(row):
            style = joined if place else papers[index % len(CYCLE)]
            if index in tokens.special:
                style += self.style_of("flow--special")
            if index == self.chosen:
                style += self.style_of("flow--chosen")
            id, width = tokens.ids[index], layout.widths[index]
            label = str(id) if place else self._label(id, min(width, int(tokens.widths[index])))
            segments += [Segment(label, style), Segment(" " * (width - cell_len(label)), base)]
            if layout.gap:
                segments.append(between)
        return Strip(segments).adjust_cell_length(self.room, base)

    def _label(self, id: int, width: int) -> str:
        found = self._fitted.get((id, width))
        if found is None:
            found = self._fitted[id, width] = fit(self._tokens.label_of(id), width)
        return found

    def action_choose(self, by: int) -> None:
        self.choose(self.chosen + by)

    def action_end(self, index: int) -> None:
        self.choose(index if index >= 0 else len(self._tokens.ids) - 1)

    def action_line(self, by: int) -> None:
        layout = self._layout
        if not layout.rows:
            return
        row = layout.row_of(self.chosen)
        middle = layout.start_of(self.chosen) + layout.widths[self.chosen] // 2
        self.choose(layout.token_at(max(0, min(row + by, len(layout.rows) - 1)), middle))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or not self._layout.rows:
            return
        row, _ = self._layout.row_at(self.line_at(offset.y))
        if row < len(self._layout.rows):
            self.choose(self._layout.token_at(row, offset.x))
