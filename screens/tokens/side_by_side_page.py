"""Side by side: the same text as bytes, as the run's tokens and as GPT-2's, one under another."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from textual.app import ComposeResult
from textual.strip import Strip

from lab.core.errors import UserError
from models.config import TokenizerError
from screens.background import in_thread, latest
from screens.colour import CYCLE, cycle_style, palette_of
from screens.tokens.tokens_page import TextPage, comparison_lines
from screens.widgets.line_scroll_view import SCROLL_KEYS, CachedLinesView
from screens.widgets.status_line import StatusLine
from screens.widgets.text_fitting import fit
from screens.widgets.top_bars import PageLink

if TYPE_CHECKING:
    from lab.tokenization.example_texts import Titled
    from lab.tokenization.named_tokenizer import NamedTokenizer, TokenizerSource
    from lab.tokenization.token_alignment import AlignedText
    from lab.tokenization.tokenized_text import TokenizedText

ORDER: tuple[TokenizerSource, ...] = ("bytes", "run", "gpt2")
"""From the smallest pieces to the largest vocabulary; borders are compared between the last two."""
MOST_TITLE = 14
DIFFER = "differ"


class AlignedView(CachedLinesView):
    """Sizes at the top, then the rows: a line for each tokenizer, and a line of marks where the last two differ."""

    COMPONENT_CLASSES = {"aligned--name", "aligned--mark", "aligned--text", "aligned--dim", "aligned--bar", "aligned--strong"}
    DEFAULT_CSS = """
    AlignedView {
        & > .aligned--name { color: $foreground 65%; }
        & > .aligned--dim { color: $foreground 65%; }
        & > .aligned--text { color: $foreground; }
        & > .aligned--bar { color: $primary; }
        & > .aligned--strong { text-style: bold; }
        & > .aligned--mark { color: $warning; text-style: bold; }
    }
    """
    BORDER_TITLE = "the same text"
    HELP = (
        "**Side by side.** The same characters under each other; colours, or underlines without colour, change from token to "
        "token. `^` marks a border that only one of the last two tokenizers has; `é²` is a character cut into two tokens."
    )
    BINDINGS = SCROLL_KEYS

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._titles: tuple[str, ...] = ()
        self._texts: tuple[TokenizedText, ...] = ()
        self.aligned: AlignedText | None = None

    def on_mount(self) -> None:
        self.lay_out()

    def show(self, titles: tuple[str, ...], texts: tuple[TokenizedText, ...]) -> None:
        self._titles, self._texts = titles, texts
        self.lay_out()

    @property
    def _name_width(self) -> int:
        return min(MOST_TITLE, max(map(cell_len, (DIFFER, *self._titles)))) + 1

    @property
    def _lines_of_row(self) -> int:
        """Lines of a row: one for each tokenizer, one for the marks of two, and an empty one."""
        return len(self._texts) + (len(self._texts) > 1) + 1

    def lay_out(self) -> None:
        from lab.tokenization.token_alignment import align_texts

        if not self._texts:
            self.aligned = None
            self.show_changed(0)
            return
        self.aligned = align_texts(self._texts, max(1, self.room - self._name_width))
        self.show_changed(len(self._texts) + 1 + len(self.aligned.rows) * self._lines_of_row)

    def content_of(self, line: int) -> Hashable:
        if line <= len(self._texts):
            return tuple(self._size_segments(line))
        row, which = divmod(line - len(self._texts) - 1, self._lines_of_row)
        aligned, indent = self.aligned, self._name_width
        if aligned is None or which >= len(self._texts):
            has_marks = aligned is not None and which == len(self._texts) < self._lines_of_row - 1
            return (indent, aligned.marks(row)) if aligned is not None and has_marks else ""
        return indent, self._titles[which], aligned.content_of(which, row, len(CYCLE))

    def draw_content(self, line: int) -> Strip:
        base = self.style_of("")
        segments = self._size_segments(line) if line <= len(self._texts) else self._row_segments(line - len(self._texts) - 1)
        return Strip(segments).adjust_cell_length(self.room, base)

    def _size_segments(self, line: int) -> list[Segment]:
        if line == len(self._texts):
            return []
        counts = [(title, each.counts) for title, each in zip(self._titles, self._texts, strict=True)]
        pieces = comparison_lines(counts, self._name_width, self.room)[line]
        return [Segment(text, self.style_of(f"aligned--{role}")) for text, role in pieces]

    def _row_segments(self, line: int) -> list[Segment]:
        aligned = self.aligned
        row, which = divmod(line, self._lines_of_row)
        if aligned is None or which == self._lines_of_row - 1:
            return []
        name, width = self.style_of("aligned--name"), self._name_width
        if which == len(self._texts):
            marks = aligned.marks(row)
            return [Segment(fit(DIFFER if marks else "", width), name), Segment(marks, self.style_of("aligned--mark"))]
        palette, base = palette_of(self), self.style_of("")
        segments = [Segment(fit(self._titles[which], width - 1) + " ", name)]
        for token, run in groupby(aligned.cells(which, row), key=itemgetter(1)):
            segments.append(Segment("".join(text for text, _ in run), base + cycle_style(palette, token)))
        return segments


class Ready(NamedTuple):
    """Tokenizers of a run and the built-in ones, and the reasons why some are missing."""

    run: str
    named: tuple[NamedTokenizer, ...]
    problem: str


class SideBySidePage(TextPage):
    """All three tokenizers; one that cannot be read is left out, and the line above says why."""

    LINK = PageLink("side", "side by side", synonyms="compression compare tokenizers aligned difference gpt-2 bytes")
    FOLLOWS_TOKENIZER = False
    REST = "#tokens-aligned"
    PARTS = (AlignedView,)
    DEFAULT_CSS = """
    SideBySidePage { #tokens-aligned { height: 1fr; } #tokens-lesson { min-height: 1; } }
    """

    def __init__(self) -> None:
        super().__init__()
        self._ready: Ready | None = None

    def compose(self) -> ComposeResult:
        yield StatusLine(most_lines=3, id="tokens-lesson")
        yield AlignedView(id="tokens-aligned")

    @property
    def is_settled(self) -> bool:
        return super().is_settled and self._ready is not None and self._ready.run == self.lab.run_name

    def on_mount(self) -> None:
        self.watch(self.app, "run_name", self.open_tokenizers, init=False)

    def watch_is_shown(self) -> None:
        super().watch_is_shown()
        self.open_tokenizers()

    def open_tokenizers(self) -> None:
        """Open all of them, if the page is in sight and they are others than before."""
        run = self.lab.run_name
        known = (self.tokenizers.known(source, run if source == "run" else "") for source in ORDER)
        if self.is_shown and (self._ready is None or self._ready.run != run or self._ready.named != tuple(filter(None, known))):
            self._open(run)

    @latest("side")
    async def _open(self, run: str) -> None:
        named, problems = [], []
        for source in ORDER:
            try:
                named.append(await in_thread(self.tokenizers.open, source, run if source == "run" else ""))
            except (UserError, TokenizerError) as error:
                problems.append(str(error))
        self._ready = Ready(run, tuple(named), " ".join(problems))
        self.ask()

    def job(self) -> tuple[NamedTokenizer, ...] | None:
        return self._ready.named if self._ready is not None else None

    def answer(self, text: str, job: tuple[NamedTokenizer, ...]) -> Titled:
        from lab.tokenization.tokenized_text import tokenize_text

        return [(each.title, tokenize_text(each.tokenizer, text)) for each in job]

    def show_answer(self, result: Titled) -> None:
        from lab.tokenization.example_texts import example_of
        from lab.tokenization.token_alignment import sentence_on

        self.query_one(AlignedView).show(*zip(*result, strict=True))
        problem = self._ready.problem if self._ready is not None else ""
        example = example_of(result[0][1].text)
        sentence = problem or (example.sentence(result) if example is not None else sentence_on(result))
        self.query_one("#tokens-lesson", StatusLine).say(sentence, error=bool(problem))
