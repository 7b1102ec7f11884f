"""The pattern that cuts a text into words before BPE, at work on one line: each word, and the alternative that took it."""

from __future__ import annotations

from itertools import groupby

from rich.cells import cell_len
from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip

from models.tokenizers.token_labels import with_spaces
from screens.colour import cycle_style, palette_of
from screens.widgets.line_scroll_view import SCROLL_KEYS, LineScrollView
from screens.widgets.text_fitting import fit

BAR = "│"
Word = tuple[str, int]
"""A word, and the index of the alternative that took it."""


def lines_of(words: list[Word]) -> list[list[Word]]:
    """The words by lines of the text, each with the words that end it."""
    lines: list[list[Word]] = [[]]
    for word, part in words:
        lines[-1].append((word, part))
        if "\n" in word:
            lines.append([])
    return [line for line in lines if any(word.strip() for word, _ in line)]


def rows_of(words: list[Word], room: int) -> list[list[tuple[str, int]]]:
    """Labels of the words, in rows that leave a cell for the bar behind each."""
    rows: list[list[tuple[str, int]]] = [[]]
    at = 0
    for word, part in words:
        label = with_spaces(word.encode())
        width = min(cell_len(label), max(1, room - 1))
        if at and at + width + 1 > room:
            rows.append([])
            at = 0
        rows[-1].append((fit(label, width), part))
        at += width + 1
    return rows


class WordsView(LineScrollView):
    """A line of the text above, its words numbered by alternative; below, the alternatives of the pattern."""

    COMPONENT_CLASSES = {"words--bar", "words--number", "words--pattern", "words--about"}
    DEFAULT_CSS = """
    WordsView {
        & > .words--bar { color: $foreground 60%; }
        & > .words--number { color: $foreground 70%; }
        & > .words--pattern { color: $accent; text-style: bold; }
        & > .words--about { color: $foreground 80%; }
    }
    """
    HELP = (
        "**Words.** Before any merge the pattern cuts the text into words, and no merge reaches across a cut. The number under a "
        "word is the alternative that took it; at each place they are tried in order."
    )
    BINDINGS = SCROLL_KEYS

    line: reactive[int] = reactive(0)
    """The line of the text that is shown, of those that hold more than white space."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: list[list[Word]] = []
        self._rows: list[tuple[str, object]] = []

    def show(self, excerpt: str) -> None:
        from lab.tokenization.bpe.learnable_text import words_and_parts

        self._lines = lines_of(list(words_and_parts(excerpt)))
        self.set_reactive(WordsView.line, 0)
        self._lay()

    def validate_line(self, line: int) -> int:
        return max(0, min(line, len(self._lines) - 1))

    def watch_line(self) -> None:
        self._lay()

    def on_resize(self) -> None:
        self._lay()

    def _lay(self) -> None:
        from lab.tokenization.bpe.learnable_text import PATTERN_PARTS

        count = len(self._lines)
        self.border_title = f"words that the pattern cuts · line {self.line + 1} of {count} · {{ }}" if count else "words"
        self._rows = []
        words = self._lines[self.line] if count else []
        for row in rows_of(words, self.room):
            self._rows += [("words", row), ("numbers", row)]
        used = {part for part, _ in groupby(sorted(part for _, part in words))}
        self._rows += [("part", (index, index in used)) for index in range(len(PATTERN_PARTS))]
        self.set_extent(len(self._rows))

    def draw(self, line: int) -> Strip:
        from lab.tokenization.bpe.learnable_text import PATTERN_PARTS

        kind, content = self._rows[line]
        base, palette = self.style_of(""), palette_of(self)
        segments: list[Segment] = []
        if isinstance(content, list):
            for at, (label, part) in enumerate(content):
                if kind == "words":
                    segments += [
                        Segment(label, base + cycle_style(palette, at)),
                        Segment(BAR, base + self.style_of("words--bar")),
                    ]
                else:
                    number = str(part + 1).center(cell_len(label)) + " "
                    segments.append(Segment(number, base + self.style_of("words--number")))
        elif isinstance(content, tuple):
            index, is_used = content
            part_of = PATTERN_PARTS[index]
            widest = max(len(each.pattern) for each in PATTERN_PARTS)
            mark = "▸" if is_used else " "
            segments = [
                Segment(f"{mark}{index + 1} ", base + self.style_of("words--number")),
                Segment(part_of.pattern.ljust(widest), base + self.style_of("words--pattern")),
                Segment(fit(f"  {part_of.about}", max(1, self.room - widest - 3)), base + self.style_of("words--about")),
            ]
        return Strip(segments).adjust_cell_length(self.room, base)
