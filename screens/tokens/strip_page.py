"""The strip: the text in the box as tokens, and one token's bytes and merges."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.message import Message

from lab.views.blocks import Paragraph, View
from screens.blocks.block_view import BlockView
from screens.tokens.token_flow import TokenFlow
from screens.tokens.tokens_page import TokensPage
from screens.widgets.page_bar import PageLink
from screens.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from lab.tokenization.named_tokenizer import NamedTokenizer
    from lab.tokenization.token_statistics import TextCounts

MOST_SHOWN = 20_000
"""Most tokens drawn; all are counted."""


@dataclass(frozen=True)
class TokenizedText:
    """A text as tokens, and what is drawn of them."""

    named: "NamedTokenizer"
    ids: list[int]
    labels: list[str]
    breaks: list[bool]
    counts: "TextCounts"
    about: str


class StripPage(TokensPage):
    """Tokenizes the newest text in a thread."""

    LINK = PageLink("strip", "s", "strip")
    TAKES_TEXT = True
    REST = "#tokens-flow"
    DEFAULT_CSS = """
    StripPage {
        #tokens-flow { height: 1fr; min-height: 4; }
        #tokens-one { height: 1fr; }
    }
    """

    @dataclass
    class Tokenized(Message):
        """The text of that number has been tokenized."""

        number: int
        result: TokenizedText

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._number = 0
        self._answered = 0
        self._busy = False
        self._result: TokenizedText | None = None

    def compose(self) -> ComposeResult:
        yield StatusLine(most_lines=2, id="tokens-counts")
        flow = TokenFlow(id="tokens-flow")
        flow.border_title = "tokens"
        yield flow
        yield BlockView(id="tokens-one")

    @property
    def is_settled(self) -> bool:
        return not self._busy and self._answered == self._number

    def watch_text(self) -> None:
        self._ask()

    def watch_named(self) -> None:
        if self.named is None:
            self._result = None
            self.query_one("#tokens-counts", StatusLine).left = ""
            self.query_one(TokenFlow).show([], [])
            self.query_one(BlockView).show(View("none", "no tokens", "", []))
        self._ask()

    def watch_is_shown(self) -> None:
        self._ask()

    def _ask(self) -> None:
        """Tokenize the current text; while another is being tokenized, only the newest waits."""
        if not self.is_shown or self.named is None:
            return
        self._number += 1
        if not self._busy:
            self._busy = True
            self._tokenize(self._number, self.text, self.named)

    @work(thread=True, group="tokenize", exit_on_error=True)
    def _tokenize(self, number: int, text: str, named: "NamedTokenizer") -> None:
        from lab.tokenization.token_statistics import TextCounts, vocabulary_sentence

        tokenizer = named.tokenizer
        ids = tokenizer.encode(text)
        drawn = ids[:MOST_SHOWN]
        labels = [tokenizer.label(id) for id in drawn]
        breaks = [b"\n" in tokenizer.token_bytes(id) for id in drawn]
        counts = TextCounts(len(text), len(text.encode("utf-8", "surrogatepass")), len(ids))
        about = vocabulary_sentence(tokenizer, named.title)
        self.post_message(self.Tokenized(number, TokenizedText(named, ids, labels, breaks, counts, about)))

    @on(Tokenized)
    def _show_tokens(self, message: Tokenized) -> None:
        self._busy = False
        self._answered = message.number
        if message.number != self._number:
            self._ask()
        result = message.result
        if result.named is not self.named:
            return
        self._result = result
        more = f" (the first {MOST_SHOWN:,} are shown)" if len(result.ids) > len(result.labels) else ""
        self.query_one("#tokens-counts", StatusLine).left = result.counts.sentence + more
        flow = self.query_one(TokenFlow)
        flow.show(result.labels, result.breaks)
        self._show_one(flow.chosen)

    @on(TokenFlow.Chosen)
    def _token_chosen(self, message: TokenFlow.Chosen) -> None:
        self._show_one(message.index)

    def _show_one(self, index: int) -> None:
        from lab.tokenization.token_statistics import merge_table, quoted_label

        result = self._result
        if result is None or not result.ids:
            return
        tokenizer = result.named.tokenizer
        id = result.ids[min(index, len(result.ids) - 1)]
        title = f"token {index + 1} of {len(result.ids):,}: {quoted_label(tokenizer, id)} = {id}"
        self.query_one(BlockView).show(View("token", title, "", [merge_table(tokenizer, id), Paragraph(result.about)]))
