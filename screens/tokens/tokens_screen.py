"""Tokens: typed text as tokens, with one token's bytes and merges."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.reactive import var
from textual.widgets import TextArea

from lab.views.blocks import Paragraph, View
from screens.base_screen import LabScreen
from screens.blocks.block_view import BlockView
from screens.tokens.token_flow import TokenFlow
from screens.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from lab.data.token_statistics import TextCounts
    from models.tokenizers.tokenizer import Tokenizer

EXAMPLE = "The big dog ran fast.\nAn unbelievably naïve café 🙂 costs 1234567 dollars."
"""Short words, a rare one, multi-byte characters and a number: here tokenizers differ."""

MOST_SHOWN = 20_000
"""Most tokens drawn; all are counted."""

RUN = "run"
"""The kind that means the tokenizer of the current run."""
KINDS = ("gpt2", "bytes", RUN)
CHOOSE = "tokenizer  "


@dataclass(frozen=True)
class Cut:
    """A tokenized text."""

    ids: list[int]
    labels: list[str]
    breaks: list[bool]
    counts: "TextCounts"
    about: str


class TokensScreen(LabScreen):
    """Tokenizes the newest text in a thread; each vocabulary is read once."""

    MODE = "tokens"
    TEXT_FIELDS = (TextArea,)
    HELP = (
        "A model never sees letters: text is split into **tokens**, each with a number. Type text; `escape` leaves the field, "
        "`e` returns to it. `t` changes the tokenizer, arrows choose a token; its bytes and merges are below."
    )
    DEFAULT_CSS = """
    TokensScreen {
        #tokens-text { height: 5; border: round $foreground 30%; padding: 0 1; background: $background; }
        #tokens-text:focus { border: round $accent; }
        #tokens-flow { height: 1fr; min-height: 4; }
        #tokens-one { height: 1fr; }
        &.-tall #tokens-text { height: 8; }
    }
    """
    BINDINGS = [
        Binding("e", "edit", "Edit", id="tokens.edit", tooltip="Edit the text"),
        Binding("t", "tokenizer", "Tokenizer", id="tokens.tokenizer", tooltip="Use the next tokenizer"),
    ]

    kind: var[str] = var("gpt2")
    """The tokenizer: gpt2, bytes, or run."""

    @dataclass
    class WasCut(Message):
        """The text of that number has been tokenized."""

        number: int
        cut: Cut

    @dataclass
    class NotCut(Message):
        """The text of that number cannot be tokenized, for the reason in the sentence."""

        number: int
        sentence: str

    def __init__(self) -> None:
        super().__init__()
        self._tokenizers: dict[str, Tokenizer] = {}
        self._number = 0
        self._answered = -1
        self._busy = False
        self._cut: Cut | None = None

    def compose_body(self) -> ComposeResult:
        text = TextArea(EXAMPLE, id="tokens-text", show_line_numbers=False)
        text.border_title = "text · Esc leave"
        text.select_all()
        yield text
        yield StatusLine(id="tokens-kinds")
        yield StatusLine(most_lines=2, id="tokens-counts")
        flow = TokenFlow(id="tokens-flow")
        flow.border_title = "tokens"
        yield flow
        yield BlockView(id="tokens-one")

    @property
    def is_settled(self) -> bool:
        """True if the current text has been tokenized or refused."""
        return not self._busy and self._answered == self._number

    def on_mount(self) -> None:
        self.mode_opened()
        self.watch(self.app, "run_name", self._run_changed)

    def mode_opened(self) -> None:
        """Focus the text: typing replaces the example at first."""
        self.query_one(TextArea).focus()

    def resting_focus(self) -> str | None:
        return "#tokens-flow"

    def go_back(self) -> bool:
        flow = self.query_one(TokenFlow)
        if self.focused is flow:
            return False
        flow.focus()
        return True

    def action_edit(self) -> None:
        self.query_one(TextArea).focus()

    def action_tokenizer(self) -> None:
        self.kind = KINDS[(KINDS.index(self.kind) + 1) % len(KINDS)]

    def watch_kind(self) -> None:
        self._name_kinds()
        self._ask()

    def _run_changed(self, name: str) -> None:
        self._name_kinds()
        self._ask()

    def _name_kinds(self) -> None:
        self.query_one("#tokens-kinds", StatusLine).left = CHOOSE + " ".join(self._kind_words())

    def _kind_words(self) -> list[str]:
        """The kinds as they stand side by side."""
        names = {"gpt2": "GPT-2", "bytes": "bytes", RUN: f"run {self.lab.run_name}"}
        return [f"‹ {names[kind]} ›" if kind == self.kind else f"  {names[kind]}  " for kind in KINDS]

    @on(StatusLine.TextClicked, "#tokens-kinds")
    def _kind_clicked(self, event: StatusLine.TextClicked) -> None:
        start = cell_len(CHOOSE)
        for kind, words in zip(KINDS, self._kind_words(), strict=True):
            if start <= event.at < start + cell_len(words):
                self.kind = kind
            start += cell_len(words) + 1

    @on(TextArea.Changed)
    def _typed(self) -> None:
        self._ask()

    def _ask(self) -> None:
        """Tokenize the current text; while another is being tokenized, only the newest waits."""
        self._number += 1
        if not self._busy:
            self._busy = True
            self._cut_text(self._number, self.query_one(TextArea).text, self.kind, self.lab.run_name)

    @work(thread=True, group="cut")
    def _cut_text(self, number: int, text: str, kind: str, run: str) -> None:
        from lab.core.errors import UserError
        from lab.data.token_statistics import TextCounts, vocabulary_sentence
        from models.tokenizers.tokenizer_kinds import TokenizerError

        try:
            tokenizer = self._tokenizer(kind, run)
        except (UserError, TokenizerError) as error:
            self.post_message(self.NotCut(number, str(error)))
            return
        ids = tokenizer.encode(text)
        drawn = ids[:MOST_SHOWN]
        labels = [tokenizer.label(id) for id in drawn]
        breaks = [b"\n" in tokenizer.token_bytes(id) for id in drawn]
        counts = TextCounts(len(text), len(text.encode("utf-8", "surrogatepass")), len(ids))
        self.post_message(self.WasCut(number, Cut(ids, labels, breaks, counts, vocabulary_sentence(tokenizer, run))))

    def _tokenizer(self, kind: str, run: str) -> "Tokenizer":
        """Raises: UserError or TokenizerError."""
        from lab.runs.find_runs import open_run
        from lab.runs.load_tokenizer import tokenizer_of
        from models.tokenizers.tokenizer import Tokenizer

        key = f"run {run}" if kind == RUN else kind
        if key not in self._tokenizers:
            match kind:
                case "gpt2":
                    self._tokenizers[key] = Tokenizer.gpt2()
                case "bytes":
                    self._tokenizers[key] = Tokenizer.bytes_()
                case _:
                    self._tokenizers[key] = tokenizer_of(open_run(run))
        return self._tokenizers[key]

    @on(WasCut)
    def _show_cut(self, message: WasCut) -> None:
        self._done(message.number)
        cut = self._cut = message.cut
        more = f" (the first {MOST_SHOWN:,} are shown)" if len(cut.ids) > len(cut.labels) else ""
        self._say(cut.counts.sentence + more)
        flow = self.query_one(TokenFlow)
        flow.show(cut.labels, cut.breaks)
        self._show_one(flow.chosen)

    @on(NotCut)
    def _show_why_not(self, message: NotCut) -> None:
        self._done(message.number)
        self._cut = None
        self._say(message.sentence, error=True)
        self.query_one(TokenFlow).show([], [])
        self.query_one(BlockView).show(View("none", "no tokens", message.sentence, []))

    def _done(self, number: int) -> None:
        self._busy = False
        self._answered = number
        if number != self._number:
            self._ask()

    def _say(self, words: str, *, error: bool = False) -> None:
        line = self.query_one("#tokens-counts", StatusLine)
        line.set_class(error, "-error")
        line.left = words

    @on(TokenFlow.Chosen)
    def _token_chosen(self, message: TokenFlow.Chosen) -> None:
        self._show_one(message.index)

    def _show_one(self, index: int) -> None:
        from lab.data.token_statistics import merge_table, quoted_label

        cut = self._cut
        tokenizer = self._tokenizers.get(f"run {self.lab.run_name}" if self.kind == RUN else self.kind)
        if cut is None or tokenizer is None or not cut.ids:
            return
        id = cut.ids[min(index, len(cut.ids) - 1)]
        title = f"token {index + 1} of {len(cut.ids):,}: {quoted_label(tokenizer, id)} = {id}"
        self.query_one(BlockView).show(View("token", title, "", [merge_table(tokenizer, id), Paragraph(cut.about)]))
