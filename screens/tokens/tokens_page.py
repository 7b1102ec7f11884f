"""The base classes of the pages of Tokens, and of those that follow the text in the box; and the line of a page's sources."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rich.cells import cell_len
from textual import on, work
from textual.message import Message
from textual.reactive import reactive, var
from textual.strip import Strip
from textual.widget import Widget

from lab.core.number_format import counted, significant, whole
from lab.tokenization.token_facts import TextCounts
from screens.background import in_thread
from screens.base_screen import Page
from screens.blocks.block_layout import bar
from screens.terminal.textual_internals import tell_changes
from screens.widgets.status_line import StatusLine
from screens.widgets.text_fitting import Piece, fit, painted_line

if TYPE_CHECKING:
    from lab.tokenization.named_tokenizer import NamedTokenizer, TokenizerCache


class TokensPage(Page):
    """One page. A subclass watches `named` and `text`, which may change while it is hidden: `is_shown` tells."""

    TAKES_TEXT: ClassVar[bool] = False
    """True where the text box stands above the page."""
    FOLLOWS_TOKENIZER: ClassVar[bool] = True
    """True where the page is about the current tokenizer, so that the choice of it stands above the page."""

    tokenizers: TokenizerCache
    """The tokenizers that the screen has opened, or opens for a page in a thread; set by the screen."""
    named: var[NamedTokenizer | None] = var(None)
    """The current tokenizer; None until it has been read, or where it cannot be."""
    text: var[str] = var("")
    """The text in the box, or the example while the box is empty."""

    @property
    def is_ready(self) -> bool:
        """True if its actions do something now, as far as they ever will."""
        return self.is_settled


LARGEST_AT_ONCE = 2_000
"""Characters that are tokenized before a key is painted; more, such as a paste, are left to a thread."""
LONGEST_TYPED_AT_ONCE = 25_000
"""The same where the text has become one character longer or shorter: most tokens have labels already, and to tokenize 20,000
characters again takes 1 to 4 ms. A thread's answer would be painted a frame after the key."""


class TextPage(TokensPage):
    """After a key the text is tokenized at once; a paste in a thread, where only the newest text waits."""

    TAKES_TEXT = True

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self._answered = 0
        self._busy = False
        self._length = 0

    @abstractmethod
    def job(self) -> Any:
        """Everything that the answer depends on but the text; None while there is nothing to do."""

    @abstractmethod
    def answer(self, text: str, job: Any) -> Any:
        """Tokenize. Called in a thread or not: it touches no widget."""

    @abstractmethod
    def show_answer(self, result: Any) -> None:
        """Show it."""

    @property
    def is_settled(self) -> bool:
        return not self._busy and self._answered == self._number

    def ask(self) -> None:
        job = self.job() if self.is_shown and self.is_mounted else None
        if job is None:
            return
        self._number += 1
        is_key, self._length = abs(len(self.text) - self._length) == 1, len(self.text)
        if self._busy:
            return
        if len(self.text) <= (LONGEST_TYPED_AT_ONCE if is_key else LARGEST_AT_ONCE):
            self._answered = self._number
            self.show_answer(self.answer(self.text, job))
            tell_changes(self)
        else:
            self._busy = True
            self._answer_in_thread(self._number, self.text, job)

    watch_text = watch_is_shown = ask

    @work(group="tokenize")
    async def _answer_in_thread(self, number: int, text: str, job: Any) -> None:
        result = await in_thread(self.answer, text, job)
        self._busy, self._answered = False, number
        self.show_answer(result)
        if number != self._number:
            self.ask()


class SourceLine(StatusLine):
    """`learn from  ● text notes.txt   ○ run demo's text   ○ the text box`: sources by name, the current one marked."""

    @dataclass
    class Chosen(Message):
        """A source was clicked on."""

        source: Any

    def __init__(self, label: str, hint: str = "", *, id: str) -> None:
        """`hint`: a few words on the key that chooses."""
        super().__init__(id=id)
        self._label, self._hint = label, hint
        self._words: list[tuple[Any, str]] = []

    def show(self, names: Mapping[Any, str], current: object) -> None:
        marked = {each: f"{'●' if each == current else '○'} {name}" for each, name in names.items()}
        self._words = [(None, f"{self._label}  ")]
        self._words += [(each, f"{words}   ") for each, words in marked.items()]
        self.left = f"{''.join(words for _, words in self._words)}{self._hint}".rstrip()

    @on(StatusLine.TextClicked)
    def _clicked(self, event: StatusLine.TextClicked) -> None:
        event.stop()
        start = 0
        for source, words in self._words:
            if source is not None and start <= event.at < start + cell_len(words):
                self.post_message(self.Chosen(source))
            start += cell_len(words)


def compression(counts: TextCounts) -> str:
    """`4.33 bytes per token`; empty for an empty text."""
    return f"{significant(counts.bytes / counts.tokens)} bytes per token" if counts.tokens else ""


def size_lines(counts: TextCounts, width: int, lines: int) -> list[list[Piece]]:
    """The three bars, one under another where there are three lines, else side by side."""
    sizes = (("characters", counts.characters), ("bytes", counts.bytes), ("tokens", counts.tokens))
    longest = max(1, *(size for _, size in sizes))
    number = max(len(whole(size)) for _, size in sizes)
    words = compression(counts)
    if lines >= 3:
        room = max(1, width - 12 - number - cell_len(words) - 3)
        made = [
            [(fit(name, 10) + "  ", "dim"), (f"{whole(size):>{number}} ", "text"), (fit(bar(size / longest, room), room), "bar")]
            for name, size in sizes
        ]
        made[-1].append((f"  {words}", "strong"))
        return made
    texts = [f"{name} {whole(size)} " for name, size in sizes]
    room = (width - sum(map(cell_len, texts)) - cell_len(words) - 4) // 3
    if room < 3:
        return [[(fit("".join(f"{text} " for text in texts) + words, width), "text")]]
    pieces: list[Piece] = []
    for text, (_, size) in zip(texts, sizes, strict=True):
        pieces += [(text, "text"), (fit(bar(size / longest, room), room), "bar"), (" ", "text")]
    return [[*pieces, (words, "strong")]]


def comparison_lines(counts: Sequence[tuple[str, TextCounts]], name_width: int, width: int) -> list[list[Piece]]:
    """A bar of tokens for each tokenizer on one scale, with its compression."""
    longest = max(1, *(each.tokens for _, each in counts))
    digits = max(len(whole(each.tokens)) for _, each in counts)
    sizes = [" " * (digits - len(whole(each.tokens))) + counted(each.tokens, "token") for _, each in counts]
    widest = max(map(cell_len, sizes))
    words = [compression(each) for _, each in counts]
    most = max(map(cell_len, words))
    room = max(1, width - name_width - widest - most - 2)
    return [
        [
            (fit(name, name_width - 1) + " ", "dim"),
            (fit(size, widest) + " ", "text"),
            (fit(bar(each.tokens / longest, room), room), "bar"),
            (" " + fit(said, most, "right"), "strong"),
        ]
        for (name, each), size, said in zip(counts, sizes, words, strict=True)
    ]


class SizeBars(Widget):
    """One line, or three where the screen is tall."""

    COMPONENT_CLASSES = {"size-bars--text", "size-bars--dim", "size-bars--bar", "size-bars--strong"}
    DEFAULT_CSS = """
    SizeBars {
        height: 1; padding: 0 1;
        & > .size-bars--text { color: $foreground; }
        & > .size-bars--dim { color: $foreground 65%; }
        & > .size-bars--bar { color: $primary; }
        & > .size-bars--strong { text-style: bold; }
    }
    """

    counts: reactive[TextCounts] = reactive(TextCounts(0, 0, 0))

    def render_line(self, y: int) -> Strip:
        lines = size_lines(self.counts, self.content_size.width, self.content_size.height)
        pieces = lines[y] if y < len(lines) else []
        return painted_line(self, "size-bars", pieces, self.content_size.width)
