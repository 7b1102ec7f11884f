"""Lines made of pieces: wrapping of styled text, a scroll view that draws such lines, and a list of facts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Size
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.core.visible_text import visible
from screens.colour import ColouredPiece, Heat, palette_of
from screens.widgets.line_scroll_view import LineScrollView
from screens.widgets.text_fitting import Piece, wrap

PieceLine = Sequence[Piece]

LINE_END = "␊"
"""Drawn where a line of the text ends."""


def words_lines(words: str, width: int, kind: str = "text") -> list[PieceLine]:
    """Sentences, wrapped."""
    return [[(line, kind)] for line in wrap(words, max(8, width))]


def wrap_pieces(pieces: Sequence[Piece], width: int) -> list[PieceLine]:
    """Text of the user's on lines of at most `width` cells. A line end is drawn, and begins a new line, but for a `mark`."""
    lines: list[PieceLine] = []
    cells: list[Piece] = []
    used = 0
    is_ended = False

    def end_line() -> None:
        nonlocal cells, used, is_ended
        lines.append([("".join(text for text, _ in run), kind) for kind, run in groupby(cells, key=itemgetter(1))])
        cells, used, is_ended = [], 0, False

    for text, kind in pieces:
        for character in text.replace("\t", "    "):
            shown = LINE_END if character == "\n" else visible(character)
            size = cell_len(shown)
            if (is_ended and kind != "mark") or (used + size > width and cells):
                end_line()
            cells.append((shown, kind))
            used += size
            is_ended = is_ended or character == "\n"
    if cells:
        end_line()
    return lines


class PieceView(LineScrollView):
    """Draws lines of pieces; a piece's kind is the end of the name of a component class, after `PREFIX`."""

    PREFIX: ClassVar[str]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: Sequence[Sequence[ColouredPiece]] = ()
        self._drawn: dict[int, Strip] = {}
        """Lines that have been in sight: to draw a window of them takes as long as a key may."""
        self._piece_styles: dict[str | Heat, Style] = {}

    def set_lines(self, lines: Sequence[Sequence[ColouredPiece]]) -> None:
        """Show these lines; only those that changed are drawn anew."""
        before, self._lines = self._lines, lines
        changed = [at for at, line in enumerate(lines) if at >= len(before) or list(line) != list(before[at])]
        for at in changed:
            self._drawn.pop(at, None)
        self.set_extent(len(lines), changed=changed)

    def draw(self, line: int) -> Strip:
        strip = self._drawn.get(line)
        if strip is None or strip.cell_length != self.room:
            segments = [Segment(visible(text), self.piece_style(kind)) for text, kind in self._lines[line] if text]
            strip = self._drawn[line] = Strip(segments).adjust_cell_length(self.room, self.style_of(""))
        return strip

    def piece_style(self, kind: str | Heat) -> Style:
        """The style of a kind of piece, or of a heat; kept until the theme, or the widget's own style, changes."""
        if (found := self._piece_styles.get(kind)) is None:
            palette = palette_of(self)
            if not isinstance(kind, Heat):
                found = self.style_of("" if kind in ("", "cell") else f"{self.PREFIX}{kind}") + palette.sign_style(kind)
            else:
                found = palette.style(kind) if palette.paints else self.unpainted_style(kind)
            self._piece_styles[kind] = found
        return found

    def unpainted_style(self, kind: Heat) -> Style:
        """The style of a heat where there is no paper."""
        return self.style_of(f"{self.PREFIX}bar") + palette_of(self).style(kind)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._piece_styles.clear()
        self._drawn.clear()


class PieceLinesView(PieceView):
    """Lines of the kinds of pieces that text pages have."""

    PREFIX = "lines--"
    KINDS = ("text", "dim", "title", "bar", "taken", "added", "cursor", "key", "train", "val", "mark", "open", "wrong")
    COMPONENT_CLASSES = {f"lines--{kind}" for kind in KINDS}
    DEFAULT_CSS = """
    PieceLinesView {
        & > .lines--text { color: $foreground; }
        & > .lines--dim { color: $foreground 65%; }
        & > .lines--title { color: $foreground; text-style: bold; }
        & > .lines--bar { color: $primary; }
        & > .lines--taken { color: $text-error; text-style: strike; }
        & > .lines--added { color: $text-success; text-style: underline; }
        & > .lines--cursor { color: $block-cursor-foreground; background: $block-cursor-background; text-style: bold; }
        & > .lines--key { color: $footer-key-foreground; text-style: bold; }
        & > .lines--train { color: $primary; }
        & > .lines--val { color: $warning; }
        & > .lines--mark { color: $foreground 50%; }
        & > .lines--open { color: $foreground 50%; }
        & > .lines--wrong { color: $text-error; text-style: bold; }
    }
    PieceLinesView:nocolor > .lines--cursor { text-style: bold reverse; }
    """


Fact = tuple[str, str]
"""Label and value; an empty pair is an empty line."""


class FactList(Widget):
    """As high as its facts need. Values are plain text, not markup."""

    COMPONENT_CLASSES = {"facts--label", "facts--value"}
    DEFAULT_CSS = """
    FactList {
        height: auto; width: 1fr;
        & > .facts--label { color: $text-muted; }
        & > .facts--value { color: $foreground; }
    }
    """
    facts: reactive[tuple[Fact, ...]] = reactive(())

    def watch_facts(self, before: tuple[Fact, ...], after: tuple[Fact, ...]) -> None:
        """Lay out the screen only if the number of lines changes: values change many times a minute."""
        width = self.size.width
        if len(_lines(before, width)) != len(_lines(after, width)):
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(_lines(self.facts, width))

    def render(self) -> Text:
        label, value = self.get_component_rich_style("facts--label"), self.get_component_rich_style("facts--value")
        return Text("\n").join(
            Text.assemble((left, label), (right, value)) for left, right in _lines(self.facts, self.size.width)
        )


def _lines(facts: tuple[Fact, ...], width: int) -> list[tuple[str, str]]:
    margin = max((cell_len(label) for label, _ in facts), default=0) + 2
    lines: list[tuple[str, str]] = []
    for label, value in facts:
        room = max(8, width - margin)
        parts = [value] if cell_len(value) <= room else wrap(value, room)  # a row of a picture begins with spaces
        lines += [
            (text + " " * (margin - cell_len(text)), part) for text, part in zip([label] + [""] * len(parts), parts, strict=False)
        ]
    return lines
