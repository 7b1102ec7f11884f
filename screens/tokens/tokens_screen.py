"""Tokens: a text as tokens, tokenizers side by side, BPE being learned, the vocabulary; a page each."""

from typing import TYPE_CHECKING, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.reactive import var
from textual.widgets import Input, TextArea

from lab.core.errors import UserError
from lab.tokenization.named_tokenizer import SOURCES, TokenizerCache
from lab.views.screen_state import ScreenState
from models.config import TokenizerError
from screens.about_key import About, described
from screens.background import in_thread, latest
from screens.base_screen import page_bindings, turn_bindings
from screens.tokens.bpe_page import BpePage
from screens.tokens.side_by_side_page import SideBySidePage
from screens.tokens.strip_page import StripPage
from screens.tokens.text_box import TextBox
from screens.tokens.text_sources import TextSources
from screens.tokens.tokens_page import SourceLine, TokensPage
from screens.tokens.vocabulary_list import VocabularyList
from screens.tokens.vocabulary_page import VocabularyPage
from screens.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from lab.tokenization.named_tokenizer import NamedTokenizer, TokenizerSource

EXAMPLE = "The big dog ran fast.\nAn unbelievably naïve café 🙂 costs 1234567 dollars."
"""Stands for the text until some is typed. Short words, a rare one, multi-byte characters, a number: here tokenizers differ."""

LONGEST_KEPT = 20_000
HUGE, SHORT_TEXT = (160, 56), 400
"""Width and height of a screen from which a text of at most so many characters is shown side by side below its strip."""


class TokensScreen(TextSources):
    """The pages, the text box that two of them share, and the current tokenizer, which is read once in a thread."""

    MODE = "tokens"
    PAGES = (StripPage, SideBySidePage, BpePage, VocabularyPage)
    HEADINGS = ("Text", "Pages")
    TEXT_FIELDS = (TextArea, Input)
    HELP = "A model never sees letters: text is split into **tokens**, each with a number."
    DEFAULT_CSS = """
    TokensScreen {
        #tokens-text { height: 4; border: round $foreground 30%; padding: 0 1; background: $background; display: none; }
        #tokens-text.-shown { display: block; }
        #tokens-text:focus { border: round $accent; }
        #tokens-sources.-hidden { display: none; }
        #tokens-problem { display: none; }
        #tokens-problem.-error { display: block; }
        &.-tall #tokens-text { height: 8; }
        &.-tall SizeBars { height: 3; }
        &.-tall #tokens-card { height: 1fr; min-height: 11; }
        #tokens-vocabulary { width: 1fr; display: none; }
        &.-large.-strip #tokens-vocabulary { display: block; }
        &.-large.-tall #tokens-card { max-height: 14; }
        &.-both #tokens-text { height: 5; }
        &.-both SideBySidePage { height: 18; }
    }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide"), (HUGE[0], "-large")]
    BINDINGS = described(
        Binding("e,enter", "edit", "Edit", id="tokens.edit", key_display="e", tooltip="Edit the text"),
        About("Text", place=-1, synonyms="text input type"),
        Binding("c", "tokenizer", "Tokenizer", id="tokens.tokenizer", tooltip="Compare tokenizers: use the next one"),
        About("Text", synonyms="bpe bytes gpt2 vocabulary", matters=lambda tokens: tokens.current.FOLLOWS_TOKENIZER),
        *page_bindings("tokens", PAGES),
        *turn_bindings("tokens"),
    )

    source: var["TokenizerSource"] = var["TokenizerSource"]("run")
    """The current tokenizer: gpt2, bytes, or run for that of the current run, which Inspect shows too."""
    page: var[str] = var(StripPage.LINK.name)

    def __init__(self) -> None:
        super().__init__()
        self._tokenizers = TokenizerCache()
        self._failed = False

    def compose_body(self) -> ComposeResult:
        yield self.page_bar()
        yield TextBox(EXAMPLE, id="tokens-text")
        yield SourceLine("tokenizer", "c takes the next", id="tokens-sources")
        yield StatusLine(most_lines=2, id="tokens-problem")
        vocabulary = VocabularyList(id="tokens-vocabulary")
        vocabulary.can_focus = False  # it follows the chosen token; its own page has keys
        with Horizontal():
            with Vertical():
                for page_class in self.PAGES:
                    page = page_class()
                    page.tokenizers = self._tokenizers
                    yield page
            yield vocabulary

    @property
    def current(self) -> TokensPage:
        return cast(TokensPage, super().current)

    @property
    def is_settled(self) -> bool:
        """True if the current tokenizer has been read or refused, and the page has answered."""
        if not self.is_mounted:
            return False
        return self._is_read and self.current.is_settled

    @property
    def is_ready(self) -> bool:
        """True if the actions of the page in sight do something now."""
        return self.is_mounted and self._is_read and self.current.is_ready

    @property
    def _is_read(self) -> bool:
        named = self.current.named
        return self._failed or (named is not None and named.source == self.source)

    def on_mount(self) -> None:
        self.show_page()
        self._give_text()
        self.watch(self.app, "run_name", self._open_tokenizer)
        self._rest()

    def on_screen_resume(self) -> None:
        """Read what has changed out of sight: a new run may have the name of a deleted one."""
        if self.is_mounted:
            if self.source == "run":
                self._open_tokenizer()
            self.query_one(SideBySidePage).open_tokenizers()

    def _rest(self) -> None:
        rest = self.resting_focus()
        self.set_focus(self.query_one(rest) if rest else None)

    def go_back(self) -> bool:
        if self.current.go_back():
            return True
        rest = self.resting_focus()
        if rest is None or self.focused is self.query_one(rest):
            return False
        self._rest()
        return True

    def action_edit(self) -> None:
        if not self.current.TAKES_TEXT:
            self.page = StripPage.LINK.name
        self.query_one("#tokens-text").focus()

    def action_page(self, name: str) -> None:
        super().action_page(name)
        self._rest()

    def watch_page(self) -> None:
        if self.is_mounted:
            self.show_page()

    def show_page(self) -> None:
        self.query_one("#tokens-text").set_class(self.current.TAKES_TEXT, "-shown")
        self.query_one("#tokens-sources").set_class(not self.current.FOLLOWS_TOKENIZER, "-hidden")
        super().show_page()
        self._show_both()

    @on(events.Resize)
    def _show_both(self) -> None:
        """Show the tokenizers side by side below the strip of a short text, where the screen has room for both."""
        strip, side, (width, height) = self.query_one(StripPage), self.query_one(SideBySidePage), self.app.size
        both = self.current is strip and width >= HUGE[0] and height >= HUGE[1] and len(strip.text) <= SHORT_TEXT
        self.set_class(self.current is strip, "-strip")
        self.set_class(both, "-both")
        side.is_shown = both or self.current is side

    def action_tokenizer(self) -> None:
        self.source = SOURCES[(SOURCES.index(self.source) + 1) % len(SOURCES)]

    def watch_source(self) -> None:
        if self.is_mounted:
            self._open_tokenizer()

    def screen_state(self) -> ScreenState:
        typed = self.box.text if len(self.box.text) <= LONGEST_KEPT else ""
        run = self.lab.run_name if self.source == "run" else ""
        chosen = self.query_one(StripPage).chosen if self.page == StripPage.LINK.name else None
        return ScreenState(mode=self.MODE, page=self.page, run=run, tokenizer=self.source, prompt=typed, position=chosen)

    def restore_state(self, state: ScreenState) -> None:
        self.app.call_later(self._rest)  # after the focus that opening the mode has asked for

    @property
    def _key(self) -> tuple["TokenizerSource", str]:
        return (self.source, self.lab.run_name if self.source == "run" else "")

    def _open_tokenizer(self) -> None:
        names: dict[TokenizerSource, str] = {"run": f"run {self.lab.run_name}", "gpt2": "GPT-2", "bytes": "bytes"}
        self.query_one("#tokens-sources", SourceLine).show(names, self.source)
        known = self._tokenizers.known(*self._key)
        if known is not None:
            self.workers.cancel_group(self, "tokenizer")
            self._give_tokenizer(known)
        else:
            self._read_tokenizer(*self._key)

    @latest("tokenizer")
    async def _read_tokenizer(self, source: "TokenizerSource", run: str) -> None:
        try:
            self._give_tokenizer(await in_thread(self._tokenizers.open, source, run))
        except (UserError, TokenizerError) as error:
            self._give_tokenizer(None, str(error))

    def _give_tokenizer(self, named: "NamedTokenizer | None", problem: str = "") -> None:
        self._failed = named is None
        self.query_one("#tokens-problem", StatusLine).say(problem, error=self._failed)
        for page in self.query(TokensPage):
            page.named = named

    @on(SourceLine.Chosen)
    def _source_clicked(self, event: SourceLine.Chosen) -> None:
        self.source = event.source

    @on(TextArea.Changed, "#tokens-text")
    def _typed(self) -> None:
        self._give_text()

    def _give_text(self) -> None:
        text = self.box.text
        self.text_changed()
        self.query_one(StripPage).set_reactive(StripPage.cursor, self._cursor)
        for page in self.query(TokensPage):
            page.text = text or EXAMPLE
        self._show_both()

    @property
    def _cursor(self) -> int | None:
        return self.box.character_before_cursor if self.box.has_focus and self.box.text else None

    @on(TextArea.SelectionChanged, "#tokens-text")
    def _follow_cursor(self) -> None:
        """Choose the token before the text cursor; after a key that changes the text, its tokens come first."""
        strip = self.query_one(StripPage)
        if strip.text == (self.box.text or EXAMPLE):
            strip.cursor = self._cursor

    @on(StripPage.CharactersChosen)
    def _show_characters(self, message: StripPage.CharactersChosen) -> None:
        if not self.box.has_focus and self.box.text:
            self.box.select_characters(message.first, message.end)
