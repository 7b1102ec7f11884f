"""The tokens of a text, wrapped into rows, with a cursor on one of them."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.reactive import var
from textual.strip import Strip

from lab.tokenization.token_alignment import Ints
from screens.about_key import About
from screens.colour import CYCLE, cycle_style, palette_of
from screens.tokens.flow_layout import NO_TOKENS, NONE_JOINED, FlowLayout, JoinedCharacters, lay_tokens
from screens.widgets.line_scroll_view import CachedLinesView
from screens.widgets.text_fitting import fit

BAR = "│"
"""Between two tokens where paper cannot tell them apart."""


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
    """Places of special tokens."""


def joined_line(layout: FlowLayout, row: int) -> list[tuple[str, bool]]:
    """The line above a row: each joined character over its tokens, `╭─🙂─╮`, with the cells between; True for characters."""
    pieces: list[tuple[str, bool]] = []
    tokens, at = layout.tokens_of(row), 0
    for each in layout.joined_in(row):
        first, last = max(each.first, tokens.start), min(each.end, tokens.stop) - 1
        start = max(at, layout.start_of(first))
        width = layout.start_of(last) + layout.widths[last] - start
        if width < 1:
            continue
        pieces += [(" " * (start - at), False), (_over(each.character, width), True)]
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
        "**The tokens.** Arrows or `hjkl` choose one, a click too; below are its bytes, its merges and its relatives. `w` shows "
        "spaces, `i` ids, `x` bytes. A character of several tokens stands in a bracket over their bytes."
    )
    BINDINGS = [
        Binding("right,l", "choose(1)", "Token", id="flow.right", key_display="←/→", tooltip="The next token")
        | About(synonyms="next token merge tree id rank corpus frequency card"),
        Binding("left,h", "choose(-1)", "Left", id="flow.left", show=False, tooltip="The previous token"),
        Binding("down,j", "line(1)", "Down", id="flow.down", show=False, tooltip="One line down"),
        Binding("up,k", "line(-1)", "Up", id="flow.up", show=False, tooltip="One line up"),
        Binding("pagedown", "line(10)", "Ten down", id="flow.page_down", show=False, tooltip="Ten lines down"),
        Binding("pageup", "line(-10)", "Ten up", id="flow.page_up", show=False, tooltip="Ten lines up"),
        Binding("home,g", "end(0)", "First", id="flow.first", show=False, tooltip="The first token"),
        Binding("end,G", "end(-1)", "Last", id="flow.last", show=False, tooltip="The last token"),
    ]

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
        """The label of an id on so many cells."""

    def show(self, tokens: FlowTokens, chosen: int | None = None) -> None:
        """Draw other tokens, and choose one of them, by default the one at the place chosen before."""
        if tokens.label_of != self._tokens.label_of:
            self._fitted.clear()
            self.forget_strips()
        self._tokens = tokens
        self.set_reactive(TokenFlow.chosen, max(0, min(self.chosen if chosen is None else chosen, len(tokens.ids) - 1)))
        self._flow()

    def _flow(self) -> None:
        tokens = self._tokens
        gap = 0 if palette_of(self).paints else 1
        self._layout = lay_tokens(tokens.widths, tokens.breaks, self.room, gap, tokens.joined)
        self.set_extent(self._layout.height, changed=())
        self._reveal()
        self.draw_changed()

    def on_resize(self) -> None:
        self.forget_other_widths()
        self._flow()

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
        row, is_tokens = layout.row_at(line)
        if not is_tokens:
            return tuple(joined_line(layout, row))
        of_row = layout.tokens_of(row)
        special = tuple(at - of_row.start for at in of_row if at in tokens.special) if tokens.special else ()
        chosen = self.chosen - of_row.start if self.chosen in of_row else None
        return of_row.start % len(CYCLE), tuple(tokens.ids[of_row.start : of_row.stop]), special, chosen

    def draw_content(self, line: int) -> Strip:
        layout, tokens = self._layout, self._tokens
        row, is_tokens = layout.row_at(line)
        base = self.style_of("")
        if not is_tokens:
            joined = self.style_of("flow--joined")
            pieces = [Segment(text, joined if over else base) for text, over in joined_line(layout, row)]
            return Strip(pieces).adjust_cell_length(self.room, base)
        palette = palette_of(self)
        papers = [base + cycle_style(palette, at) if palette.paints else base for at in range(len(CYCLE))]
        segments: list[Segment] = []
        for index in layout.tokens_of(row):
            style = papers[index % len(CYCLE)]
            if index in tokens.special:
                style += self.style_of("flow--special")
            if index == self.chosen:
                style += self.style_of("flow--chosen")
            segments.append(Segment(self._label(tokens.ids[index], layout.widths[index]), style))
            if layout.gap:
                segments.append(Segment(BAR, self.style_of("flow--bar")))
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
