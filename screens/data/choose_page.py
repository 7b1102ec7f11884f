"""Choose: a path field and a file tree, the facts of the text, and a button that takes it to Train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Button, Input, Label, Static, Tree

from lab.core.errors import UserError
from lab.core.number_format import bytes_, whole
from lab.data.builtin_stories import grammar_text
from lab.data.builtin_texts import BUILTINS
from lab.data.path_completion import typed_source, working_folder
from lab.data.source_files import file_size
from lab.data.statistics.text_statistics import CountRequest, TextFacts, TokenCount, read_facts, run_count_process
from lab.data.text_source import joined_source
from lab.planning.default_hyperparameters import default_vocabulary
from lab.runs.run_schema import DEFAULT_RULES
from models.config import DEFAULT_PRESET, TokenizerKind
from screens.about_key import About, described
from screens.background import DelayedCall, in_thread, latest, still_wanted
from screens.data.choose_inputs import PathInput, SizeSlider, TextTree, TreeEntry
from screens.data.data_page import (
    HINT_IN_FIELD,
    KINDS,
    READ_UNASKED,
    STORIES,
    ChosenText,
    DataPage,
    TextKey,
    encoding_hint,
    fact_lines,
    is_stories,
    short_name,
    sized,
    unread_lines,
)
from screens.widgets.piece_lines import FactList
from screens.widgets.text_fitting import printable
from screens.widgets.top_bars import PageLink

SECONDS_OF_MOVING = 0.15

CHOOSE_KEYS: list[BindingType] = described(
    Binding("slash", "filter", "Find", id="choose.filter", tooltip="Find files by name, in all folders below this one"),
    About(synonyms="filter search names file filename"),
    Binding("x", "unmark", "Unmark", id="choose.unmark", tooltip="Unmark all files"),
    About(synonyms="deselect clear selection several marks", needs="a marked file"),
    Binding("v", "grammar", "Grammar", id="choose.grammar", tooltip="The grammar of the stories, or their text"),
    About(synonyms="stories entropy rules probabilities"),
    Binding("plus", "size(1)", "Larger", id="choose.larger", key_display="+ -", tooltip="A larger text of stories"),
    About(synonyms="size stories slider bigger megabytes"),
    Binding("minus", "size(-1)", "Smaller", id="choose.smaller", show=False, tooltip="A smaller text of stories"),
)


ON_A_FOLDER = "A folder: enter opens it, m takes all its files as one text."


class PreviewScroll(VerticalScroll):
    """The beginning of the text, scrollable."""

    HELP: ClassVar[str | None] = "**Preview**: the beginning of the cleaned text. Arrows or j and k scroll."
    BINDINGS = [
        Binding("j,down", "scroll_down", "Down", id="preview.down", show=False, tooltip="Scroll down"),
        Binding("k,up", "scroll_up", "Up", id="preview.up", show=False, tooltip="Scroll up"),
    ]


class ChoosePage(DataPage):
    """A path field and a file tree, the facts of the text, and a button that takes it to Train."""

    LINK = PageLink("choose", "choose", "Choose a text")
    REST = "#texts"
    PARTS = (TextTree, PathInput, PreviewScroll)
    BINDINGS = CHOOSE_KEYS

    source: str = ""
    rules: tuple[str, ...] = DEFAULT_RULES
    read_encoding: str = ""
    """The encoding that it was asked for in; empty if it is auto-detected."""

    _encoding_is_recent = False
    """True if the encoding in the field is that of a recent text, or was guessed for one: the next text has another."""

    @dataclass
    class Counted(Message):
        """The number of tokens of one kind in a text, or the reason why it is not known."""

        key: TextKey
        kind: TokenizerKind
        count: TokenCount | None
        error: str = ""

        @property
        def words(self) -> str:
            """The number, or the reason, as a fact of the text."""
            if self.count is None:
                return self.error
            about = "" if self.count.exact else "about "
            vocabulary = f" (vocabulary {whole(self.count.vocab_size)})" if self.kind == "bpe" else ""
            return f"{about}{whole(self.count.tokens)} as {self.kind}{vocabulary}"

    @dataclass
    class TextRead(Message):
        """The chosen text has been read; None while it is being read, or where it cannot be. It is `taken` by name or enter."""

        text: ChosenText | None
        taken: bool = False

    @dataclass
    class Used(Message):
        """Train on this text."""

        source: str
        encoding: str

    def __init__(self) -> None:
        super().__init__()
        self._facts: TextFacts | None = None
        self._counts: dict[TokenizerKind, str] = {}
        self._preview = DelayedCall(self)
        self._take_when_read = False
        self._taken_from: Widget | None = None
        """The widget that had the focus when a text was asked for; a focus that has moved since then stays."""
        self._use_when_read = False
        self._is_reading = False
        self._is_too_large = False
        self._moving_to = ""
        self._read_rules = self.rules
        self._was_chosen_elsewhere = False
        """True until the cursor moves, if the text was chosen when the page opened."""
        self._marked_source = ""
        """The text that the marks made, until another is taken."""
        self._shows_grammar = False

    @property
    def key(self) -> TextKey:
        return self.source, self.read_encoding, self.rules

    @property
    def encoding(self) -> str:
        """The encoding in its field; empty if it is auto-detected."""
        return self.query_one("#encoding", Input).value.strip()

    def take_encoding(self, encoding: str) -> None:
        """Read a recent text in its encoding; the next text is not."""
        if encoding or self._encoding_is_recent:
            self.query_one("#encoding", Input).value = encoding
        self._encoding_is_recent = bool(encoding)

    def hint(self, words: str, *, wrong: bool = False) -> None:
        hint = self.query_one("#data-hint", Static)
        hint.set_class(wrong, "-wrong")
        hint.update(f"✗ Not read: {words}" if wrong else words)

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _name_key(self) -> None:
        hint = "n trains on it" if self.source else ""
        self.query_one("#use-hint", Label).update(HINT_IN_FIELD if isinstance(self.screen.focused, Input) else hint)

    def compose(self) -> ComposeResult:
        with Horizontal(id="data-path"):
            yield Label("path", classes="field-label")
            yield PathInput(id="path-input")
            yield Label("encoding", classes="field-label")
            tooltip = "Only if detection fails: cp1252, latin-1 …"
            yield Input(id="encoding", placeholder="auto-detected", compact=True, tooltip=tooltip)
        yield Static(id="data-hint", markup=False)
        with Horizontal(id="data-body"):
            with Vertical(id="data-tree"):
                yield Input(id="filter", placeholder="filter: part of a file's name", compact=True, tooltip="Words of the path")
                yield TextTree(id="texts")
            with Vertical(id="data-facts"):
                yield FactList(id="text-facts")
                yield SizeSlider(id="stories-size")
                with Horizontal(id="data-use"):
                    yield Button("▸ Use this text", id="use", compact=True, tooltip="Train on this text")
                    yield Label(id="use-hint", markup=False)
                with PreviewScroll(id="preview"):
                    yield Static(id="preview-text", markup=False)

    def on_mount(self) -> None:
        self._show()

    def choose(self, source: str) -> None:
        """Read the text that was chosen elsewhere, not that under the tree's cursor, which begins on the first."""
        self._was_chosen_elsewhere = True
        self._choose(source)

    def show(self, text: ChosenText | None) -> None:
        if self.source and not self._is_too_large and self._read_rules != self.rules:
            self._choose(self.source)  # other rules were chosen on another page

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "grammar" | "size":
                return is_stories(self.source)
            case "unmark":
                return bool(self.query_one(TextTree).marked)
        return True

    def go_back(self) -> bool:
        tree = self.query_one(TextTree)
        if tree.filter and self.screen.focused is tree:
            self.query_one("#filter", Input).value = ""
            return True
        if self.screen.focused is tree:
            return False
        self._go_to(tree)
        return True

    def _go_to(self, widget: Widget) -> None:
        """Focus what the user asked for; a text that is still being read leads nowhere else then."""
        self._taken_from = None
        widget.focus()

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.display = True
        self._go_to(field)

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        self.query_one(TextTree).narrow(event.value)
        if not event.value and not event.input.has_focus:
            event.input.display = False

    @on(Input.Submitted, "#filter")
    def _filter_taken(self) -> None:
        """Choose the first match; where the search is not over yet, the cursor waits for it in the tree."""
        tree = self.query_one(TextTree)
        tree.focus()
        if tree.is_narrowed:
            tree.action_select_cursor()

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        field = self.query_one("#filter", Input)
        if event.widget is field and not field.value:
            field.display = False

    def action_unmark(self) -> None:
        self.query_one(TextTree).unmark_all()
        self._choose_under_cursor()

    def _choose_under_cursor(self) -> None:
        entry = self.query_one(TextTree).under_cursor
        self.take_encoding(entry.encoding)
        self._choose(sized(entry.source, self.query_one(SizeSlider).value), asked=False)  # none on a folder

    @on(TextTree.Marked)
    def _marks_changed(self, message: TextTree.Marked) -> None:
        self._preview.cancel()
        if message.sources:
            self._choose(joined_source(message.sources), asked=False)
            self.hint(f"{len(message.sources)} marked: n trains on all that is marked, as one text; x unmarks it.")
        elif self.source == self._marked_source:
            self._choose_under_cursor()
        self._marked_source = self.source if message.sources else ""

    def action_grammar(self) -> None:
        self._shows_grammar = not self._shows_grammar
        self._show()

    def action_size(self, by: int) -> None:
        self.query_one(SizeSlider).action_turn(by)

    @on(SizeSlider.Changed)
    def _size_changed(self, event: SizeSlider.Changed) -> None:
        event.stop()
        if is_stories(self.source):
            self._read_soon(sized(STORIES, event.value))

    def _read_soon(self, source: str) -> None:
        self._take_when_read = self._use_when_read = False
        self._preview.cancel()
        self._moving_to = source
        self._preview.start(SECONDS_OF_MOVING, lambda: self._choose(source, asked=False))

    @on(Tree.NodeHighlighted)
    def _cursor_moved(self, event: Tree.NodeHighlighted[TreeEntry]) -> None:
        entry = event.node.data
        if entry is None or (self.source and not self.query_one(TextTree).has_focus):
            return  # the cursor moved by itself, and another text was asked for by name
        if not entry.source:
            if not self.query_one(TextTree).marked:
                self._choose("")
                self.hint(ON_A_FOLDER)
            return
        was_elsewhere, self._was_chosen_elsewhere = self._was_chosen_elsewhere, False
        if was_elsewhere and entry.source == next(iter(BUILTINS)):
            return
        self.take_encoding(entry.encoding)
        if not self.query_one(TextTree).marked:  # the marked ones stay the text while the cursor looks for more
            self._read_soon(sized(entry.source, self.query_one(SizeSlider).value))

    @on(Tree.NodeSelected)
    def _picked(self, event: Tree.NodeSelected[TreeEntry]) -> None:
        if (entry := event.node.data) is None or not entry.source:
            return
        self.take_encoding(entry.encoding)
        marked = self.query_one(TextTree).marked
        self._take(joined_source(marked) if marked else sized(entry.source, self.query_one(SizeSlider).value))

    @on(PathInput.Submitted)
    @on(Input.Submitted, "#encoding")
    def _typed(self) -> None:
        typed = typed_source(self.query_one(PathInput).value)
        if typed and typed != self.source:
            self.take_encoding("")
        if typed:
            self.query_one(TextTree).unmark_all()
            self._marked_source = ""
        if typed or self.source:
            self._take(typed or self.source)

    @on(PathInput.Candidates)
    def _show_candidates(self, message: PathInput.Candidates) -> None:
        if typed_source(message.typed) == self.source:
            return  # it was chosen meanwhile, and its facts are shown already
        self.hint("  ".join(message.names) if message.typed else "")

    def _take(self, source: str) -> None:
        self._take_when_read = True
        self._taken_from = self.screen.focused
        self._choose(source)

    def _choose(self, source: str, *, asked: bool = True) -> None:
        """Read a text; none for an empty source. Unless `asked`, a file that takes long to read is only named."""
        self._preview.cancel()
        self.source, self._facts, self._counts = source, None, {}
        self._read_rules, self.read_encoding = self.rules, self.encoding
        self._is_reading, self._is_too_large, self._use_when_read, self._moving_to = bool(source), False, False, ""
        path = self.query_one(PathInput)
        path.follow(source, taken=self._take_when_read)
        self.post_message(self.TextRead(None))
        if not (path.has_focus and typed_source(path.value) not in ("", source)):  # else the completions of what is typed stay
            self.hint(BUILTINS.get(source, ""))
        self._show()
        if source:
            self.read(self.key, asked=asked)

    def show_facts(self, key: TextKey, facts: TextFacts | None, problem: str = "", too_large: str = "") -> None:
        """Show the facts of a text, or the reason why there are none; those of a text that is not chosen any more are left."""
        if key != self.key:
            return
        leads = self._take_when_read and self.screen.focused is self._taken_from
        self._is_reading = False
        self._facts = facts
        if facts is not None:
            text = ChosenText(facts.source, self.read_encoding, facts, self.rules)
            self.post_message(self.TextRead(text, self._take_when_read))
        self._is_too_large = bool(too_large)
        if too_large:
            self.hint(too_large)
        if problem:
            words, guess = encoding_hint(problem)
            self.hint(words, wrong=True)
            if guess and self._take_when_read:
                self.take_encoding(guess)
                if leads:
                    self.query_one("#encoding").focus()
        self._show()
        if facts is not None and leads:
            tree, source = self.query_one(TextTree), facts.source
            if not tree.has_focus:
                tree.show_source(STORIES if is_stories(source) else source, self.read_encoding)
            self.query_one("#use").focus()
        self._take_when_read = False
        if self._use_when_read:
            self._use_when_read = False
            self.use()

    @on(Counted)
    def _show_count(self, message: Counted) -> None:
        if message.key == self.key:
            self._counts[message.kind] = message.words
            self._show()

    def _show(self) -> None:
        facts = self._facts
        known = facts and fact_lines(facts, self._counts, self._read_rules)
        self.query_one("#text-facts", FactList).facts = known or unread_lines(self.source, self._is_reading)
        slider = self.query_one(SizeSlider)
        slider.display = is_stories(self.source)
        preview = printable(facts.preview) if facts else ""
        if facts and is_stories(self.source) and self._shows_grammar:
            preview = grammar_text()
        self.query_one("#preview-text", Static).update(preview)
        self.query_one("#preview").scroll_home(animate=False)
        self.query_one("#use").disabled = facts is None
        self._name_key()
        self.refresh_bindings()

    @on(Button.Pressed, "#use")
    def use(self) -> None:
        """Train on the text; one that is still being read is used once it has been."""
        if self._moving_to:
            self._choose(self._moving_to)
        elif self.source and self.encoding != self.read_encoding:
            self._choose(self.source)  # the encoding was typed, and not read with
        if self._facts is not None:
            self.post_message(self.Used(self._facts.source, self.encoding))
        elif self._is_reading:
            self._use_when_read = True
            self.hint(f"Reading {short_name(self.source)} …: it is used as soon as it has been read.")
        elif self._is_too_large:
            self._choose(self.source)
            self.use()
        elif not self.source:
            self.hint("Choose a text first: stories is a good start.")

    def type_path(self) -> None:
        self._go_to(self.query_one(PathInput))

    @latest("facts")
    async def read(self, key: TextKey, *, asked: bool) -> None:
        source, encoding, rules = key

        def facts_of() -> tuple[TextFacts | None, str]:
            """The facts, or none and a sentence on the size of a text that is too large to be read unasked."""
            working_folder()  # one that was removed is left: in it a relative path has no meaning
            size = file_size(source)
            if not asked and size is not None and size > READ_UNASKED:
                return None, f"{short_name(source)}: {bytes_(size)}; enter reads it."
            facts = read_facts(source, encoding or None, rules)
            if facts.entropy_bits_per_byte is not None:
                grammar_text()  # now, in a thread, so that the key that shows it need not wait
            return facts, ""

        try:
            facts, too_large = await in_thread(facts_of)
        except UserError as error:
            self.show_facts(key, None, str(error))
            return
        self.show_facts(key, facts, too_large=too_large)
        if facts is not None:
            await self._count(key, KINDS, default_vocabulary(DEFAULT_PRESET, facts.bytes))

    @latest("count")
    async def count(self, key: TextKey, kinds: Sequence[TokenizerKind], vocabulary: int) -> None:
        """Count the tokens of a text whose facts are known."""
        await self._count(key, kinds, vocabulary)

    async def _count(self, key: TextKey, kinds: Sequence[TokenizerKind], vocabulary: int) -> None:
        source, encoding, rules = key
        for kind in kinds:
            try:
                count = await still_wanted(run_count_process(CountRequest(source, encoding or None, kind, vocabulary, rules)))
                self.post_message(self.Counted(key, kind, count))
            except UserError as error:
                self.post_message(self.Counted(key, kind, None, str(error)))
