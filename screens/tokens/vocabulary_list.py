"""The list of a vocabulary's tokens, one line each, drawn as far as it is in sight."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from screens.blocks.block_layout import bar
from screens.widgets.line_scroll_view import LineScrollView
from screens.widgets.text_fitting import fit

if TYPE_CHECKING:
    from lab.data.token_file import Ids
    from lab.tokenization.named_tokenizer import NamedTokenizer
    from lab.tokenization.vocabulary_facts import VocabularyFacts


CountRequest = tuple["NamedTokenizer", str, str, str, tuple[str, ...]]
"""Tokenizer, run, text, encoding and cleaning of a count."""


TOKEN, BYTES, MERGE, COUNT = (14, 32), (11, 35), (15, 44), 11
"""Narrowest and widest columns; the count has one width. A byte takes three cells."""
GAP = 2
SHORTEST_BAR, LONGEST_BAR = 5, 40


@dataclass(frozen=True)
class VocabularyColumns:
    """Widths of the columns in character cells; 0 where a column is left out."""

    id: int
    token: int
    bytes: int
    merge: int
    count: int
    bar: int


def columns_for(width: int, size: int, counted: bool) -> VocabularyColumns:
    """The columns of a list so wide, for a vocabulary of so many tokens; `counted` where there are frequencies."""
    id = max(2, len(str(size - 1)))
    fixed = 1 + id + (COUNT + GAP + SHORTEST_BAR + 1 if counted else 0) + 3 * GAP
    token, hexadecimal, merge = TOKEN[0], BYTES[0], MERGE[0]
    spare = width - fixed - token - hexadecimal - merge
    if spare < 0:
        spare, merge = spare + merge + GAP, 0
    if spare < 0:
        spare, hexadecimal = spare + hexadecimal + GAP, 0
    token_more = max(0, min(TOKEN[1] - token, spare // 3))
    merge_more = max(0, min(MERGE[1] - merge, spare // 3)) if merge else 0
    bytes_more = max(0, min(BYTES[1] - hexadecimal, spare // 6)) // 3 * 3 if hexadecimal else 0
    left = max(0, spare - token_more - merge_more - bytes_more)
    longest = min(LONGEST_BAR, SHORTEST_BAR + left) if counted else 0
    return VocabularyColumns(id, token + token_more, hexadecimal + bytes_more, merge + merge_more, COUNT * counted, longest)


class VocabularyList(LineScrollView):
    """Rows are made as they come into sight, and kept; a header stands above them."""

    COMPONENT_CLASSES = {"vocabulary--head", "vocabulary--cursor", "vocabulary--bar", "vocabulary--never"}
    DEFAULT_CSS = """
    VocabularyList {
        & > .vocabulary--head { color: $text-muted; }
        & > .vocabulary--cursor { background: $primary 30%; text-style: bold; }
        &:focus > .vocabulary--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
        & > .vocabulary--bar { color: $primary; }
        & > .vocabulary--never { color: $text-muted; }
    }
    """
    HELP = (
        "**The vocabulary.** A line per token: id, text, bytes, the two tokens that it is the merge of, and its count with a bar "
        "on a logarithmic scale. `/` searches: text in any case, with a capital exactly; `^` before it for tokens that begin "
        "with it; `#464` an id; `0xe2 80` bytes.\n\n"
        "**Glitch candidates** are tokens that a model hardly met in training, so that it may behave oddly on them: never used "
        "in the text, or with an embedding as near to the never-used ones' mean as 95% of these (Land and Bartolo 2024), or not "
        "given back when their own text is encoded. Rumbelow and Watkins 2023 found ` SolidGoldMagikarp` among the embeddings "
        "nearest to the mean of all."
    )
    BINDINGS = [
        Binding("down,j", "move(1)", "Token", id="vocabulary.down", key_display="↑/↓", tooltip="The next token of the list"),
        Binding("up,k", "move(-1)", "Up", id="vocabulary.up", show=False, tooltip="The token before"),
        Binding("pagedown,ctrl+f", "leap(1)", "Page down", id="vocabulary.page_down", show=False, tooltip="A page further"),
        Binding("pageup,ctrl+b", "leap(-1)", "Page up", id="vocabulary.page_up", show=False, tooltip="A page back"),
        Binding("home", "move(-100000000)", "First", id="vocabulary.first", show=False, tooltip="The first token of the list"),
        Binding("end", "move(100000000)", "Last", id="vocabulary.last", show=False, tooltip="The last token of the list"),
    ]

    cursor: reactive[int] = reactive(0, repaint=False)

    class Moved(Message):
        """Another token was chosen."""

    class Asked(Message):
        """The chosen token was clicked on again."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.facts: VocabularyFacts | None = None
        self.ids: Ids | None = None
        self.shows_distance = False
        """Distances of the embeddings to their mean in place of the merges."""
        self.if_empty = ""
        self._columns = columns_for(80, 256, counted=False)
        self._largest = 0
        self._rows: dict[int, tuple[str, str, str]] = {}

    @property
    def chosen(self) -> int | None:
        return None if self.ids is None or not len(self.ids) else int(self.ids[min(self.cursor, len(self.ids) - 1)])

    @property
    def window(self) -> int:
        return max(1, self.content_size.height - 1)

    def show(self, facts: VocabularyFacts | None, ids: Ids | None, *, shows_distance: bool = False) -> None:
        """Show these tokens in this order, from the first; new facts of the same tokens leave the cursor on its token."""
        before = self.chosen if facts is not self.facts else None
        if facts is not self.facts or shows_distance is not self.shows_distance:
            self.facts, self.shows_distance = facts, shows_distance
            frequencies = facts.frequencies if facts is not None else None
            self._largest = int(frequencies.counts.max()) if frequencies is not None else 0
            self._forget_rows()
        self.ids = ids
        at = _place_of(ids, before) if ids is not None and before is not None and self.cursor else 0  # the first stays first
        self.set_reactive(VocabularyList.cursor, at)
        self.set_extent(0 if ids is None else len(ids))
        self.show_line(at, 1)
        self.refresh()
        self.post_message(self.Moved())

    def on_resize(self) -> None:
        self._forget_rows()
        self.set_extent(*self.extent)
        self.show_line(self.cursor)

    def _forget_rows(self) -> None:
        self._rows.clear()
        if self.facts is not None:
            self._columns = columns_for(self.room, self.facts.size, self.facts.frequencies is not None)

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, self.extent[0] - 1))

    def watch_cursor(self, before: int, after: int) -> None:
        top = self.top
        self.show_line(after)
        if self.top == top:
            self.refresh(*(Region(0, 1 + line - top, self.content_size.width, 1) for line in (before, after)))
        self.post_message(self.Moved())

    def action_move(self, by: int) -> None:
        self.cursor += by

    def action_leap(self, by: int) -> None:
        self.cursor += by * max(1, self.window - 1)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        line = self.top + offset.y - 1 if offset is not None else -1
        if offset is None or offset.y < 1 or line >= self.extent[0]:
            return
        if line == self.cursor:
            self.post_message(self.Asked())
        self.cursor = line

    def render_line(self, y: int) -> Strip:
        if y == 0:
            return Strip([Segment(self._header(), self.style_of("vocabulary--head"))]).adjust_cell_length(self.content_size.width)
        if y == 1 and not self.extent[0]:
            return Strip([Segment(f" {self.if_empty}", self.style_of(""))]).adjust_cell_length(self.content_size.width)
        return super().render_line(y - 1)

    def _header(self) -> str:
        columns = self._columns
        if self.facts is None:
            return ""
        words = [fit("id", columns.id, "right"), fit("token", columns.token)]
        words += [fit("bytes (hex)", columns.bytes)] if columns.bytes else []
        origin = "distance to mean" if self.shows_distance else "merge of"
        words += [fit(origin, columns.merge)] if columns.merge else []
        if columns.count:
            scale = "log scale" if columns.bar >= cell_len("log scale") else "log"
            words.append(fit("count", columns.count, "right") + " " + fit(scale, columns.bar))
        return " " + (" " * GAP).join(words)

    def draw(self, line: int) -> Strip:
        assert self.ids is not None
        id = int(self.ids[line])
        row = self._rows.get(id)
        if row is None:
            row = self._rows[id] = self._row(id)
        text, count, length = row
        if line == self.cursor:
            style = self.style_of("vocabulary--cursor")
            return Strip([Segment("▸" + text + count + length, style)]).adjust_cell_length(self.room, style)
        segments = [
            Segment(" " + text, self.style_of("")),
            Segment(count, self.style_of("" if length.strip() else "vocabulary--never")),
        ]
        segments.append(Segment(length, self.style_of("vocabulary--bar")))
        return Strip(segments).adjust_cell_length(self.room, self.style_of(""))

    def _row(self, id: int) -> tuple[str, str, str]:
        from lab.core.number_format import significant, whole
        from lab.tokenization.token_facts import quoted_label
        from lab.tokenization.vocabulary_facts import origin_of

        facts, columns = self.facts, self._columns
        assert facts is not None
        tokenizer = facts.index.tokenizer
        parts = [fit(str(id), columns.id, "right"), fit(quoted_label(tokenizer, id), columns.token)]
        if columns.bytes:
            parts.append(fit(_hex(facts.index.tokens[id], columns.bytes), columns.bytes))
        if columns.merge:
            distance = facts.distances.to_mean[id] if self.shows_distance and facts.distances is not None else None
            origin = origin_of(tokenizer, id) if distance is None else significant(float(distance))
            parts.append(fit(origin, columns.merge))
        text = (" " * GAP).join(parts)
        if facts.frequencies is None:
            return text, "", ""
        count = int(facts.frequencies.counts[id])
        share = math.log1p(count) / math.log1p(self._largest) if count else 0.0
        words = fit(whole(count) if count else "never", columns.count, "right")
        return text, " " * GAP + words + " ", bar(share, columns.bar)


def _hex(token: bytes, width: int) -> str:
    return token.hex(" ") if 3 * len(token) - 1 <= width else token[: (width - 1) // 3].hex(" ") + " …"


def _place_of(ids: Any, id: int) -> int:
    """The line of a token; the first where it is not in the list."""
    found = (ids == id).nonzero()[0]
    return int(found[0]) if len(found) else 0
