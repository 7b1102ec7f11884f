"""The text as a strip of its tokens, with a card of the chosen one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.reactive import var

from lab.core.errors import UserError
from lab.tokenization.token_facts import TreeRow
from screens.about_key import About, described, keyless
from screens.background import ends_with_worker, in_thread, latest
from screens.tokens.text_box import TextBox
from screens.tokens.token_flow import FlowTokens, JoinedCharacters, TokenFlow
from screens.tokens.tokens_page import SizeBars, TextPage
from screens.tokens.vocabulary_list import CountRequest, VocabularyList
from screens.widgets.line_scroll_view import SCROLL_KEYS
from screens.widgets.piece_lines import PieceLinesView
from screens.widgets.status_line import StatusLine
from screens.widgets.text_fitting import Piece, cut, fit, wrap
from screens.widgets.top_bars import PageLink

if TYPE_CHECKING:
    from lab.tokenization.named_tokenizer import NamedTokenizer
    from lab.tokenization.token_alignment import TokenLabels, TokenView
    from lab.tokenization.token_facts import TokenFamilies
    from lab.tokenization.tokenized_text import TokenizedText
    from lab.tokenization.vocabulary_facts import VocabularyFacts

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
        pieces = cut(tree[at], left) if at < len(tree) else []
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


class TokenCard(PieceLinesView):
    """Scrolls where a long token's tree does not fit."""

    HELP = (
        "**One token.** At the left the merges that made it, down to bytes; at the right its facts. Its family: the tokens that "
        "begin with its letters, or are a beginning of them."
    )
    BINDINGS = SCROLL_KEYS

    card = CardFacts("")

    def show(self, card: CardFacts) -> None:
        """Show another token; the same one stays scrolled as it is."""
        if card.title != self.card.title:
            self.top = 0
            self.border_title = Text(card.title)  # a Text is no markup: a label may hold brackets
        self.card = card
        self.lay_out()

    def lay_out(self) -> None:
        self.set_lines(card_lines(self.card, self.room, self.window))


MOST_COUNTED = 64_000_000
"""Bytes of a text in use whose tokens are counted unasked: some 20 seconds in the background."""

TITLES: dict[TokenView, str] = {"text": "tokens", "spaces": "tokens · spaces shown", "ids": "ids", "bytes": "bytes in hex"}


@dataclass(frozen=True)
class StripJob:
    """Settings of tokenizing and labelling."""

    named: NamedTokenizer
    view: TokenView
    special: bool


@dataclass(frozen=True)
class StripAnswer:
    """A tokenized text, as it is drawn."""

    job: StripJob
    tokenized: TokenizedText
    flow: FlowTokens


@dataclass(frozen=True)
class Background:
    """Facts about a tokenizer: its words by their letters, and its vocabulary with its tokens in the corpus, or why not."""

    families: TokenFamilies
    facts: VocabularyFacts
    problem: str = ""


class StripPage(TextPage):
    """The tokens, coloured in turn, and the card of the chosen one, which the screen may list among its neighbours."""

    LINK = PageLink("strip", "strip", synonyms="compression token colours type text encode tokenize")
    REST = "#tokens-flow"
    PARTS = (TextBox, TokenFlow, TokenCard)
    DEFAULT_CSS = """
    StripPage {
        #tokens-special { display: none; }
        #tokens-special.-shown { display: block; }
        #tokens-flow { height: 1fr; min-height: 4; }
        #tokens-card { height: 8; }
    }
    """
    BINDINGS = described(
        Binding("v", "next_view", "View", id="strip.view", tooltip="The tokens as text, with spaces visible, as ids, as bytes"),
        keyless("view('spaces')", "strip.spaces", "Make every space and line break visible, or not", "Spaces"),
        About(synonyms="whitespace newline visible blank"),
        keyless("view('ids')", "strip.ids", "The tokens as their ids, or as text", "Ids"),
        About(synonyms="numbers integers token ids"),
        keyless("view('bytes')", "strip.bytes", "The tokens as bytes in hexadecimal, or as text", "Bytes"),
        About(synonyms="hex hexadecimal utf-8 raw"),
        keyless("special", "strip.special", "Read <|endoftext|> as the special token, or as the plain text it is", "Special"),
        About(synonyms="endoftext eos special tokens"),
    )

    cursor: var[int | None] = var(None)
    """The character before the cursor of the text box, whose token is chosen; None while the keys are free."""

    @dataclass
    class CharactersChosen(Message):
        """The user has chosen the token that covers these characters."""

        first: int
        end: int

    def __init__(self) -> None:
        super().__init__()
        self.view: TokenView = "text"
        self.special = False
        self._shown: StripAnswer | None = None
        self._labels: dict[tuple[int, str], TokenLabels] = {}
        self._background: dict[NamedTokenizer, Background] = {}
        self._counting: CountRequest | None = None

    def compose(self) -> ComposeResult:
        yield SizeBars(id="tokens-sizes")
        yield StatusLine(most_lines=2, id="tokens-special")
        flow = TokenFlow(id="tokens-flow")
        flow.border_title = TITLES["text"]
        yield flow
        yield TokenCard(id="tokens-card")

    def on_mount(self) -> None:
        for name in ("text_source", "text_encoding", "text_cleaning", "run_name"):
            self.watch(self.app, name, self._count, init=False)

    def watch_named(self) -> None:
        if self.named is None:
            self._shown = None
            self.query_one(TokenFlow).show(FlowTokens())
            self.query_one(TokenCard).show(CardFacts(""))
            self._vocabulary.show(None, None)
        self.ask()
        self._count()

    def watch_is_shown(self) -> None:
        super().watch_is_shown()
        self._count()

    @property
    def is_settled(self) -> bool:
        known = self._background.get(self.named) if self.named is not None else None
        counted = known is not None and (known.facts.frequencies is not None or bool(known.problem))
        return super().is_settled and (counted or self.named is None)

    @property
    def is_ready(self) -> bool:
        return super().is_settled

    def job(self) -> StripJob | None:
        return StripJob(self.named, self.view, self.special) if self.named is not None else None

    def answer(self, text: str, job: StripJob) -> StripAnswer:
        from lab.tokenization.token_alignment import TokenLabels, character_label
        from lab.tokenization.tokenized_text import tokenize_text

        tokenizer = job.named.tokenizer
        tokenized = tokenize_text(tokenizer, text, special=job.special)
        key = (id(tokenizer), job.view)
        labels = self._labels.get(key)
        if labels is None or labels.tokenizer is not tokenizer:
            labels = self._labels[key] = TokenLabels(tokenizer, job.view)
        ids = tokenized.id_array
        places, firsts, ends = tokenized.split_characters
        joined = JoinedCharacters(firsts, ends, lambda at: character_label(tokenized.text[places[at]]))
        widths = labels.widths(ids)
        has_bars = job.view in ("ids", "bytes")
        flow = FlowTokens(tokenized.ids, labels.label, widths, labels.breaks(ids), joined, tokenized.special_places, has_bars)
        return StripAnswer(job, tokenized, flow)

    def show_answer(self, result: StripAnswer) -> None:
        if result.job.named is not self.named:
            return
        from lab.tokenization.named_tokenizer import special_sentence

        self._shown = result
        tokenized = result.tokenized
        self.query_one(SizeBars).counts = tokenized.counts
        sentence = special_sentence(tokenized.tokenizer, tokenized.text, result.job.special)
        line = self.query_one("#tokens-special", StatusLine)
        line.left = sentence
        line.set_class(bool(sentence), "-shown")
        flow = self.query_one(TokenFlow)
        title = TITLES[result.job.view]
        if flow.border_title != title:  # a title given draws all of the widget anew
            flow.border_title = title
        flow.show(result.flow, self._token_at_cursor())
        self._show_card(flow.chosen)

    @property
    def _vocabulary(self) -> VocabularyList:
        return self.screen.query_one("#tokens-vocabulary", VocabularyList)

    @property
    def chosen(self) -> int:
        return self.query_one(TokenFlow).chosen

    def _token_at_cursor(self) -> int | None:
        if self.cursor is None or self._shown is None:
            return None
        return self._shown.tokenized.token_at(max(0, self.cursor))

    def watch_cursor(self) -> None:
        chosen = self._token_at_cursor()
        if chosen is not None and super().is_settled:
            flow = self.query_one(TokenFlow)
            if chosen != flow.chosen:
                flow.chosen = chosen
                self._show_card(chosen)

    def action_view(self, view: TokenView) -> None:
        self.view = "text" if self.view == view else view
        self.ask()

    def action_next_view(self) -> None:
        views = list(TITLES)
        self.action_view(views[(views.index(self.view) + 1) % len(views)])

    def action_special(self) -> None:
        self.special = not self.special
        self.ask()

    @on(TokenFlow.Chosen)
    def _token_chosen(self, message: TokenFlow.Chosen) -> None:
        self._show_card(message.index)
        if self._shown is not None and self._shown.tokenized.ids:
            tokenized = self._shown.tokenized
            first, end = tokenized.first_characters[message.index], tokenized.end_characters[message.index]
            self.post_message(self.CharactersChosen(int(first), int(end)))

    def _show_card(self, index: int) -> None:
        from lab.core.number_format import counted, whole
        from lab.tokenization import token_facts
        from lab.tokenization.token_facts import quoted_label

        shown = self._shown
        if shown is None or not shown.tokenized.ids:
            self.query_one(TokenCard).show(CardFacts("no tokens"))
            return
        tokenizer, ids = shown.tokenized.tokenizer, shown.tokenized.ids
        id_ = ids[min(index, len(ids) - 1)]
        known = self._background.get(shown.job.named)
        relatives = [token_facts.quoted_label(tokenizer, each) for each in known.families.of(id_)] if known else []
        facts = (
            ("merge", token_facts.merge_fact(tokenizer, id_)),
            ("bytes", token_facts.bytes_fact(tokenizer, id_)),
            ("here", f"{whole(ids.count(id_))} of {counted(len(ids), 'token')}"),
            ("corpus", self._corpus_fact(known, id_)),
        )
        title = f"token {whole(index + 1)} of {whole(len(ids))}: {quoted_label(tokenizer, id_)} = {id_}"
        card = CardFacts(title, token_facts.tree_rows(tokenizer, id_), facts, relatives)
        self.query_one(TokenCard).show(card)
        self._vocabulary.cursor = id_
        self._vocabulary.top = id_ - self._vocabulary.window // 2

    def _corpus_fact(self, known: Background | None, id_: int) -> str:
        from lab.tokenization.token_facts import frequency_fact

        if known is None or (known.facts.frequencies is None and not known.problem):
            return "being counted …"
        return frequency_fact(known.facts.frequencies, id_) if known.facts.frequencies is not None else known.problem

    def _count(self) -> None:
        if self.named is None or not self.is_shown:
            return
        asked = (self.named, self.lab.run_name, self.lab.text_source, self.lab.text_encoding, self.lab.text_cleaning)
        if self._counting != asked:
            self._counting = asked
            self._count_in_thread(asked)

    @latest("count")
    async def _count_in_thread(self, asked: CountRequest) -> None:
        from lab.core.number_format import bytes_
        from lab.tokenization.token_facts import TokenFamilies
        from lab.tokenization.token_frequencies import TokenFrequencies, counted_corpus, frequencies_in
        from lab.tokenization.vocabulary_facts import VocabularyFacts
        from lab.tokenization.vocabulary_index import VocabularyIndex

        end_if_unwanted, named = ends_with_worker(), asked[0]

        def check(done: int, total: int) -> None:
            end_if_unwanted()
            if not total and done > MOST_COUNTED:  # bytes of a text in use
                raise UserError(f"not counted: the text in use is longer than {bytes_(MOST_COUNTED)}")

        def count() -> TokenFrequencies:
            return frequencies_in(counted_corpus(*asked), named.tokenizer, check)

        known = self._background.get(named)
        families = known.families if known else await in_thread(TokenFamilies, named.tokenizer)
        index = known.facts.index if known else await in_thread(VocabularyIndex, named.tokenizer)
        self._know(named, Background(families, VocabularyFacts(index)))
        try:
            self._know(named, Background(families, VocabularyFacts(index, await in_thread(count))))
        except UserError as error:
            self._know(named, Background(families, VocabularyFacts(index), str(error)))

    def _know(self, named: NamedTokenizer, found: Background) -> None:
        from lab.core.number_format import counted

        self._background[named] = found
        listed, facts = self._vocabulary, found.facts
        listed.show(facts, facts.ordered(facts.marks("all"), "id"))
        listed.border_title = f"vocabulary of {named.title} · {counted(facts.size, 'token')} · [ ] to its page"
        self._show_card(self.query_one(TokenFlow).chosen)
