"""Vocabulary: all tokens of the current tokenizer, to browse and search, with their counts in the text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.reactive import var
from textual.widgets import Input

from lab.core.errors import UserError
from screens.about_key import About, described, keyless
from screens.background import in_thread, latest, now_and_then
from screens.blocks.block_view import BlockView
from screens.tokens.tokens_page import TokensPage
from screens.tokens.vocabulary_list import CountRequest, VocabularyList
from screens.widgets.status_line import StatusLine
from screens.widgets.top_bars import PageLink

if TYPE_CHECKING:
    from lab.tokenization.vocabulary_facts import VocabularyFacts, VocabularyFilter
    from lab.tokenization.vocabulary_index import VocabularyOrder

BESIDE = 110
"""Screen width from which a token's details stand beside the list; below it, `enter` shows them under it."""
DIRECTIONS = {
    "id": ("lowest id", "highest id"),
    "length": ("longest", "shortest"),
    "frequency": ("commonest", "rarest"),
    "embedding": ("nearest to the mean", "farthest from the mean"),
}
"""The first of the list in each order, and in its reverse."""
SECONDS_BETWEEN_NEWS = 0.2


class VocabularyPage(TokensPage):
    """Counts in a thread, whose place a newer count takes; the tokens themselves are there at once."""

    LINK = PageLink("vocabulary", "vocabulary", synonyms="vocab browse search all tokens dictionary glitch")
    REST = "#vocabulary-list"
    PARTS = (VocabularyList,)
    DEFAULT_CSS = """
    VocabularyPage {
        #vocabulary-search { height: 1; border: none; padding: 0 1; background: $panel; }
        #vocabulary-search:focus { background: $primary 25%; }
        #vocabulary-body { height: 1fr; }
        #vocabulary-list { width: 1fr; height: 1fr; }
        #vocabulary-token { width: 46; height: 1fr; display: none; }
        &.-detailed #vocabulary-token { display: block; }
        &.-under #vocabulary-body { layout: vertical; }
        &.-under #vocabulary-token { width: 1fr; }
    }
    """
    BINDINGS = described(
        Binding("slash", "search", "Search", id="vocabulary.search", tooltip="Search the vocabulary"),
        About(synonyms="find token prefix"),
        Binding("s", "order", "Sort", id="vocabulary.order", tooltip="Sort by id, length, frequency or embedding"),
        About(synonyms="sort frequency length id rank embedding common rare"),
        keyless("reverse", "vocabulary.reverse", "Reverse the order", "Reverse"),
        About(synonyms="sort descending order rarest"),
        Binding(
            "f", "filter", "Filter", id="vocabulary.filter", tooltip="All tokens, never-used ones, glitch candidates, halves"
        ),
        About(synonyms="never used unused glitch candidates halves undertrained"),
        Binding("enter", "details", "Details", id="vocabulary.details", tooltip="Show or hide the token's numbers and merges"),
        About(synonyms="token card merges numbers rank"),
        Binding("down", "to_list", "To the list", id="vocabulary.to_list", show=False, tooltip="From the search to the list"),
        Binding("r", "count_again", "Count", id="vocabulary.count", show=False, tooltip="Count the tokens of the text again"),
        About(synonyms="frequency corpus recount again"),
    )

    filter: var[VocabularyFilter] = var["VocabularyFilter"]("all")

    def __init__(self) -> None:
        super().__init__()
        self.order: VocabularyOrder | None = None
        """None: the commonest first, until they are counted the longest: by id, the first ones are control characters."""
        self.reverse = False
        self.details: bool | None = None
        """The token's details are shown; None where the width decides."""
        self._facts: VocabularyFacts | None = None
        self._asked: CountRequest | None = None
        self._is_counting = False
        self._problem = ""

    def compose(self) -> ComposeResult:
        yield StatusLine(most_lines=3, id="vocabulary-facts")
        yield Input(placeholder="/ search: text, ^prefix, #id, 0xhex", compact=True, id="vocabulary-search")
        with Horizontal(id="vocabulary-body"):
            yield VocabularyList(id="vocabulary-list")
            yield BlockView(id="vocabulary-token")

    @property
    def is_settled(self) -> bool:
        return not self._is_counting

    def on_mount(self) -> None:
        for name in ("text_source", "text_encoding", "text_cleaning", "run_name"):
            self.watch(self.app, name, self._ask, init=False)

    def _ask(self) -> None:
        if not self.is_shown:
            return
        named = self.named
        if named is None:
            self._stop()
            self._facts, self._asked, self._problem = None, None, ""
            self._show()
            return
        asked = (named, self.lab.run_name, self.lab.text_source, self.lab.text_encoding, self.lab.text_cleaning)
        if asked != self._asked:
            self._asked, self._is_counting = asked, True
            self._count(asked)

    watch_named = watch_is_shown = _ask

    def _stop(self) -> None:
        self.workers.cancel_group(self, "vocabulary")
        self._is_counting = False

    @latest("vocabulary")
    async def _count(self, asked: CountRequest) -> None:
        """Show the tokens at once, news of the count, and the counts."""
        from lab.tokenization.vocabulary_facts import VocabularyFacts, vocabulary_facts
        from lab.tokenization.vocabulary_index import VocabularyIndex

        is_time = now_and_then(SECONDS_BETWEEN_NEWS)

        def progress(done: int, total: int) -> None:
            if is_time():
                self.call_later(self._show_progress, asked, done, total)

        def counted() -> VocabularyFacts:
            facts.index.prepare()
            return vocabulary_facts(facts.index, *asked, progress)

        facts = await in_thread(lambda: VocabularyFacts(VocabularyIndex(asked[0].tokenizer)))
        if self._facts is None or self._facts.index.tokenizer is not facts.index.tokenizer:
            self._facts, self._problem = facts, ""
            self._show()
        self._say("counting its tokens in the text · Esc stops")
        try:
            self._facts = await in_thread(counted)
            self._problem = ""
        except UserError as error:
            self._facts, self._problem = facts, str(error)
        self._is_counting = False
        self._show()

    def _show_progress(self, asked: CountRequest, done: int, total: int) -> None:
        """So much has been counted: bytes of text, or tokens of a total."""
        from lab.core.number_format import bytes_, probability

        if self._is_counting and asked == self._asked:
            so_far = probability(done / total, 0) if total else bytes_(done)
            self._say(f"counting its tokens in the text: {so_far} · Esc stops")

    def go_back(self) -> bool:
        if self._is_counting:
            self._stop()
            self._problem = "The count was stopped; r counts again."
            self._say_facts()
            return True
        search = self.query_one(Input)
        if search.value:
            search.value = ""
            return True
        if self.filter != "all":
            self.filter = "all"
            return True
        return False

    def action_count_again(self) -> None:
        self._asked = None
        self._ask()

    def action_search(self) -> None:
        self.query_one(Input).focus()

    def action_to_list(self) -> None:
        if self.query_one(Input).has_focus:
            self.query_one(VocabularyList).focus()

    @on(Input.Submitted)
    def _search_done(self) -> None:
        self.query_one(VocabularyList).focus()

    def action_order(self) -> None:
        if self._facts is not None:
            known, now = self._facts.orders, self._order_in_use(self._facts)
            self.order = known[(known.index(now) + 1) % len(known)]
            self._list()

    def _order_in_use(self, facts: VocabularyFacts) -> VocabularyOrder:
        if self.order is not None and self.order in facts.orders:
            return self.order
        return "frequency" if "frequency" in facts.orders else "length"

    def action_reverse(self) -> None:
        self.reverse = not self.reverse
        self._list()

    def action_filter(self) -> None:
        from lab.tokenization.vocabulary_facts import FILTERS

        known = [each for each in FILTERS if each != "never used" or self._is_counted]
        self.filter = known[(known.index(self.filter) + 1) % len(known)] if self.filter in known else known[0]

    @on(VocabularyList.Asked)
    def action_details(self) -> None:
        self.details = not self.has_class("-detailed")
        self._place_details()

    @property
    def _is_counted(self) -> bool:
        return self._facts is not None and self._facts.frequencies is not None

    def watch_filter(self) -> None:
        self._list()
        self._say_facts()

    def _place_details(self) -> None:
        beside = self.size.width >= BESIDE
        self.set_class(not beside, "-under")
        self.set_class(beside if self.details is None else self.details, "-detailed")

    on_resize = _place_details

    def _show(self) -> None:
        self._say_facts()
        self._list()

    @on(Input.Changed)
    def _list(self) -> None:
        if not self.is_mounted:
            return
        listed, facts = self.query_one(VocabularyList), self._facts
        if facts is None:
            listed.if_empty = ""
            listed.show(None, None)
            listed.border_title = "no tokenizer"
            return
        from lab.core.number_format import whole
        from lab.tokenization.vocabulary_index import parse_query

        order = self._order_in_use(facts)
        query = self.query_one(Input).value
        escape = "outside the field clears the search" if query else "shows all tokens"
        listed.if_empty = f"No such token: Esc {escape}."
        marks = facts.index.search(parse_query(query)) & facts.marks(self.filter)
        ids = facts.ordered(marks, order, reverse=self.reverse)
        listed.show(facts, ids, shows_distance=order == "embedding")
        kept = "" if self.filter == "all" else f"{self.filter} · "
        first = DIRECTIONS[order][self.reverse]
        listed.border_title = f"{kept}{whole(len(ids))} of {whole(facts.size)} · {first} first"

    def _say_facts(self) -> None:
        if not self.is_mounted:
            return
        facts = self._facts
        sentence = "" if facts is None else facts.candidates_sentence if self.filter == "glitch candidates" else facts.sentence
        self._say(self._problem or sentence)

    def _say(self, words: str) -> None:
        self.query_one("#vocabulary-facts", StatusLine).left = words

    @on(VocabularyList.Moved)
    def _token_chosen(self) -> None:
        from lab.tokenization.vocabulary_facts import token_view
        from lab.views.blocks import View

        view, chosen = self.query_one(BlockView), self.query_one(VocabularyList).chosen
        if self._facts is None or chosen is None:
            view.show(View("vocabulary-token", "no token", "", []))
        else:
            view.show(token_view(self._facts, chosen))
