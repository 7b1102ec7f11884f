"""Tokens: a text as tokens, tokenizers side by side, BPE being learned, the vocabulary; a page each."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.reactive import var
from textual.widgets import Input, TextArea

from lab.core.errors import UserError
from lab.core.visible_text import visible
from lab.data.corpus import shown_source
from lab.runs.run_schema import DEFAULT_RULES
from lab.tokenization.named_tokenizer import SOURCES, TokenizerCache
from lab.views.screen_state import ScreenState
from models.config import TokenizerError
from screens.about_key import About, described, keyless
from screens.background import in_thread, latest
from screens.base_screen import PagedScreen, page_bindings, turn_bindings
from screens.dialogs.ask import AskText, RunChooser
from screens.tokens.bpe_page import BpePage
from screens.tokens.side_by_side_page import SideBySidePage
from screens.tokens.strip_page import StripPage
from screens.tokens.text_box import TextBox
from screens.tokens.tokens_page import SourceLine, TokensPage
from screens.tokens.vocabulary_list import VocabularyList
from screens.tokens.vocabulary_page import VocabularyPage
from screens.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from lab.tokenization.named_tokenizer import NamedTokenizer, TokenizerSource

EXAMPLE = "The big dog ran fast.\nAn unbelievably naïve café 🙂 costs 1234567 dollars."
"""Stands for the text until some is typed. Short words, a rare one, multi-byte characters, a number: here tokenizers differ."""

LONGEST_KEPT = 20_000
LOADED_CHARACTERS = 20_000
HUGE, SHORT_TEXT = (160, 56), 400
"""Width and height of a screen from which a text of at most so many characters is shown side by side below its strip."""


class TokensScreen(PagedScreen):
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
        Binding("n", "new_text", "New text", id="tokens.new", tooltip="New text: an example, a file, the text chosen in Data"),
        About("Text", synonyms="load open menu", matters=lambda tokens: tokens.current.TAKES_TEXT),
        keyless("example(1)", "tokens.example", "The next example; after the last your own text", "Example"),
        About("Text", synonyms="emoji numbers indentation languages running code next"),
        keyless("example(-1)", "tokens.example_back", "The example before", "Example back"),
        keyless("load", "tokens.load", "Load a text file into the box", "Open"),
        About("Text", synonyms="open file text read"),
        keyless("load_used", "tokens.used", "Load the text chosen in Data into the box", "Text in use"),
        About("Text", synonyms="corpus training text load"),
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
        self._example: int | None = None
        """The example in the box; None while the text is the user's own."""
        self._own_text = ""
        """The user's own text while an example is in the box."""

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
        return self.is_mounted and self._is_read and self.current.is_settled

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

    @property
    def box(self) -> TextBox:
        return self.query_one(TextBox)

    def text_changed(self) -> None:
        """Say in the border of the box where its text comes from."""
        from lab.tokenization.example_texts import EXAMPLES

        if self._example is not None and self.box.text != EXAMPLES[self._example].text:
            self._example = None
        at = self._example
        title = "" if at is None else EXAMPLES[at].title
        name = TextBox.BORDER_TITLE if at is None else f"example {at + 1} of {len(EXAMPLES)}: {title}"
        if self.box.border_title != name:
            self.box.border_title = name

    def action_example(self, by: int) -> None:
        """Put the next example into the box; the user's own text stands between the last and the first."""
        from lab.tokenization.example_texts import EXAMPLES

        at = ((len(EXAMPLES) if self._example is None else self._example) + by) % (len(EXAMPLES) + 1)
        self._put_example(at if at < len(EXAMPLES) else None)

    def _put_example(self, at: int | None) -> None:
        from lab.tokenization.example_texts import EXAMPLES

        if self._example is None:
            self._own_text = self.box.text
        self._example = at
        self.box.replace_all(self._own_text if at is None else EXAMPLES[at].text)
        self.text_changed()

    @work(group="ask")
    async def action_new_text(self) -> None:
        from lab.tokenization.example_texts import EXAMPLES

        used = self.lab.text_source
        texts: dict[str, tuple[str, Callable[[], object]]] = {
            **{each.title: ("example", partial(self._put_example, at)) for at, each in enumerate(EXAMPLES)},
            "your own text": ("as before the examples", partial(self._put_example, None)),
            "a file": ("asks for its path", self.action_load),
            "the text chosen in Data": (visible(shown_source(used)) if used else "none yet", self.action_load_used),
            "an empty box": ("ctrl+z brings the text back", self.box.action_clear_text),
        }
        now = "your own text" if self._example is None else EXAMPLES[self._example].title
        lines = [(name, words) for name, (words, _) in texts.items()]
        if name := await self.app.push_screen_wait(RunChooser(lines, now, title="new text")):
            texts[name][1]()

    @work(group="ask")
    async def action_load(self) -> None:
        words = "The path of a text file, or stories, or python. Its first 20,000 characters come into the box."
        path = await self.app.push_screen_wait(AskText("Load a text", words))
        if path:
            self._load(path.strip())

    def action_load_used(self) -> None:
        if self.lab.text_source:
            self._load(self.lab.text_source, self.lab.text_encoding, self.lab.text_cleaning)
        else:
            self.notify("No text is in use: choose one in 2 Data, or load a file with n.", markup=False)

    @latest("load")
    async def _load(self, source: str, encoding: str = "", cleaning: tuple[str, ...] = DEFAULT_RULES) -> None:
        def read() -> tuple[str, str]:
            from lab.data.corpus import preview
            from lab.data.text_source import open_corpus

            corpus = open_corpus(source, encoding or None, cleaning=cleaning)
            return corpus.name, preview(corpus, LOADED_CHARACTERS)

        try:
            name, text = await in_thread(read)
        except UserError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.box.replace_all(text)
        if len(text) == LOADED_CHARACTERS:
            self.notify(f"The first {LOADED_CHARACTERS:,} characters of {name}.", markup=False)
