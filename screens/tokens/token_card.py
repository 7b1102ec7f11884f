"""The card of one token: its merge tree at the left, facts at the right."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.text import Text
from textual.strip import Strip

from lab.tokenization.token_facts import TreeRow
from screens.widgets.line_scroll_view import SCROLL_KEYS, LineScrollView
from screens.widgets.text_fitting import Piece, fit, wrap

GAP = 3
MOST_TREE = 0.5
"""Share of the width that the tree may take."""
NAME = 8


RELATIVES_LINES = 2
"""Lines of a token's family where there is no room for more."""


@dataclass(frozen=True)
class CardFacts:
    """All that is said of a token. `relatives` are labels, as many as fit are shown."""

    title: str
    tree: Sequence[TreeRow] = ()
    facts: Sequence[tuple[str, str]] = ()
    relatives: Sequence[str] = ()


def card_lines(card: CardFacts, width: int, height: int) -> list[list[Piece]]:
    """Lines of at most `width` cells: the tree beside the facts. A family takes what the others leave of the `height`."""
    tree = [[(row.branch, "dim"), (row.label, "text"), (f" {row.id}", "dim"), (f"  {row.origin}", "dim")] for row in card.tree]
    natural = max((sum(cell_len(text) for text, _ in row) for row in tree), default=0)
    left = min(natural, int(width * MOST_TREE))
    room = max(1, width - left - GAP)
    right = _fact_lines(card, room, height)
    lines: list[list[Piece]] = []
    for at in range(max(len(tree), len(right))):
        pieces = _cut(tree[at], left) if at < len(tree) else []
        used = sum(cell_len(text) for text, _ in pieces)
        beside = right[at] if at < len(right) else []
        lines.append([*pieces, (" " * (left + GAP - used), "text"), *beside])
    return lines


def _fact_lines(card: CardFacts, room: int, height: int) -> list[list[Piece]]:
    lines: list[list[Piece]] = []
    for name, value in card.facts:
        for number, part in enumerate(wrap(value, max(1, room - NAME))):
            lines.append([(fit("" if number else name, NAME), "dim"), (part, "text")])
    if card.relatives:
        head = fit("family", NAME)
        for number, part in enumerate(relatives_lines(card.relatives, max(1, room - NAME), height - len(lines))):
            lines.append([("" if number else head, "dim"), (" " * NAME if number else "", "dim"), (part, "text")])
    return lines


def relatives_lines(labels: Sequence[str], width: int, height: int) -> list[str]:
    """As many labels as fit on so many lines, two at least, each whole, and how many more there are."""
    most = max(RELATIVES_LINES, height)

    def first(number: int) -> list[str]:
        more = [f"and {len(labels) - number:,} more"] if number < len(labels) else []
        return _filled([*labels[:number], *more], width)

    if len(lines := first(len(labels))) <= most:
        return lines
    fitting = bisect_right(range(1, len(labels)), most, key=lambda number: len(first(number)))
    return first(max(1, fitting))[:most]


def _filled(words: Sequence[str], width: int) -> list[str]:
    lines: list[str] = []
    for word in words:
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and cell_len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(word if cell_len(word) <= width else fit(word, width))
    return lines


def _cut(pieces: Sequence[Piece], width: int) -> list[Piece]:
    made: list[Piece] = []
    for text, role in pieces:
        room = width - sum(cell_len(each) for each, _ in made)
        if room > 0:
            made.append((text if cell_len(text) <= room else fit(text, room), role))
    return made


class TokenCard(LineScrollView):
    """Scrolls where a long token's tree does not fit."""

    COMPONENT_CLASSES = {"card--text", "card--dim"}
    DEFAULT_CSS = """
    TokenCard {
        & > .card--text { color: $foreground; }
        & > .card--dim { color: $foreground 65%; }
    }
    """
    HELP = (
        "**One token.** At the left the merges that made it, down to bytes; at the right its facts. Its family: the tokens that "
        "begin with its letters, or are a beginning of them."
    )
    BINDINGS = SCROLL_KEYS

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.card = CardFacts("")
        self._lines: list[list[Piece]] = []

    def show(self, card: CardFacts) -> None:
        """Show another token; the same one stays scrolled as it is."""
        if card.title != self.card.title:
            self.top = 0
            self.border_title = Text(card.title)  # a Text is no markup: a label may hold brackets
        self.card = card
        self._lay()

    def _lay(self) -> None:
        self._lines = card_lines(self.card, self.room, self.window)
        self.set_extent(len(self._lines))

    def on_resize(self) -> None:
        self._lay()

    def draw(self, line: int) -> Strip:
        pieces = [Segment(text, self.style_of(f"card--{role}")) for text, role in self._lines[line]]
        return Strip(pieces).adjust_cell_length(self.room, self.style_of(""))
