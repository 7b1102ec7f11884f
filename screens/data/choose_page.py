"""Choose: a path field and a file tree, the facts of the text, and a button that takes it to Train."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Button, Input, Label, Static

from lab.core.errors import UserError
from lab.core.number_format import bytes_, fixed, whole
from lab.data.builtin_texts import BUILTINS
from lab.data.statistics.text_statistics import TextFacts, TokenCount, count_tokens, file_size, read_facts
from lab.planning.default_hyperparameters import default_vocabulary
from models.config import DEFAULT_PRESET
from models.tokenizers.gpt2_vocabulary_files import VocabularyError
from models.tokenizers.tokenizer_kinds import TokenizerError, TokenizerKind
from screens.data.data_page import ChosenText, DataPage
from screens.data.path_input import PathInput
from screens.data.text_tree import TextTree
from screens.messages import TextChosen
from screens.widgets.fact_list import Fact, FactList
from screens.widgets.text_fitting import printable

SECONDS_OF_MOVING = 0.15
"""Delay after the last key before the text under the cursor is read."""

READ_UNASKED = 50_000_000
"""Largest file in bytes that is read as soon as the cursor is on it."""

KINDS: tuple[TokenizerKind, ...] = ("bpe", "gpt2")


class PreviewScroll(VerticalScroll):
    """The beginning of the text, scrollable."""

    HELP: ClassVar[str | None] = "**Preview**: the beginning of the cleaned text. Arrows or j and k scroll."
    BINDINGS = [
        Binding("j,down", "scroll_down", "Down", id="preview.down", show=False, tooltip="Scroll down"),
        Binding("k,up", "scroll_up", "Up", id="preview.up", show=False, tooltip="Scroll up"),
    ]


class ChoosePage(DataPage):
    """A path field and a file tree, the facts of the text, and a button that takes it to Train."""

    FOCUS = "#texts"

    @dataclass
    class TextRead(Message):
        """The chosen text has been read; None while it is being read, or where it cannot be."""

        text: ChosenText | None

    @dataclass
    class FactsRead(Message):
        """The facts of a text, or the reason why it cannot be used."""

        source: str
        encoding: str
        facts: TextFacts | None
        error: str = ""
        too_large: str = ""

    @dataclass
    class Counted(Message):
        """The number of tokens of one kind in a text, or the reason why it is not known."""

        source: str
        kind: TokenizerKind
        count: TokenCount | None
        error: str = ""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._source = ""
        self._facts: TextFacts | None = None
        self._counts: dict[TokenizerKind, str] = {}
        self._move_timer: Timer | None = None
        self._take_when_read = False
        self._use_when_read = False
        """True once the user wants to train on the text that is being read."""
        self._is_reading = False
        self._is_too_large = False
        """True if the chosen text was not read because nobody asked for that."""
        self._moving_to = ""
        """The text under the cursor that is read after a moment."""

    def compose(self) -> ComposeResult:
        with Horizontal(id="data-path"):
            yield Label("path", classes="field-label")
            yield PathInput(id="path-input")
            yield Label("encoding", classes="field-label")
            yield Input(
                id="encoding", placeholder="auto-detected", compact=True, tooltip="Only if detection fails: cp1252, latin-1 …"
            )
        yield Static(id="data-hint", markup=False)
        with Horizontal(id="data-body"):
            yield TextTree(id="texts")
            with Vertical(id="data-facts"):
                yield FactList(id="text-facts")
                with Horizontal(id="data-use"):
                    yield Button("▸ Use this text", id="use", compact=True, tooltip="Train on this text")
                    yield Label("enter here, or u")
                with PreviewScroll(id="preview"):
                    yield Static(id="preview-text", markup=False)

    def on_mount(self) -> None:
        self._show()

    def choose(self, source: str) -> None:
        """Read the text that was chosen elsewhere."""
        self._choose(source)

    def go_back(self) -> bool:
        tree = self.query_one(TextTree)
        if self.screen.focused is tree:
            return False
        tree.focus()
        return True

    @on(TextTree.Highlighted)
    def _cursor_moved(self, message: TextTree.Highlighted) -> None:
        if self._source and not self.query_one(TextTree).has_focus:
            return  # the cursor moved by itself, and another text was asked for by name
        self._take_when_read = self._use_when_read = False
        self._cancel_preview()
        self._moving_to = message.source
        self._move_timer = self.set_timer(SECONDS_OF_MOVING, lambda: self._choose(message.source, asked=False))

    @on(TextTree.Chosen)
    def _picked(self, message: TextTree.Chosen) -> None:
        self._take(message.source)

    @on(PathInput.Submitted)
    @on(Input.Submitted, "#encoding")
    def _typed(self) -> None:
        typed = self.query_one(PathInput).value.strip()
        if typed or self._source:
            self._take(typed or self._source)

    @on(PathInput.Candidates)
    def _show_candidates(self, message: PathInput.Candidates) -> None:
        if message.typed.strip() == self._source:
            return  # it was chosen meanwhile, and its facts are shown already
        names = [os.path.basename(name.rstrip("/")) + ("/" if name.endswith("/") else "") for name in message.names]
        self._hint("  ".join(names) if message.typed else "")

    def _take(self, source: str) -> None:
        """Read a text, and focus the button that uses it once it has been read."""
        self._cancel_preview()
        self._take_when_read = True
        self._choose(source)

    def _cancel_preview(self) -> None:
        """Cancel the delayed reading of the text under the cursor."""
        if self._move_timer is not None:
            self._move_timer.stop()

    def _choose(self, source: str, *, asked: bool = True) -> None:
        """Read a text. Unless `asked`, a file that takes long to read is only named."""
        self._source, self._facts, self._counts = source, None, {}
        self._is_reading, self._is_too_large, self._use_when_read, self._moving_to = True, False, False, ""
        self.post_message(self.TextRead(None))
        self._hint(BUILTINS.get(source, ""))
        self._show()
        self._read(source, self.query_one("#encoding", Input).value.strip() or None, asked=asked)

    @work(thread=True, group="facts", exclusive=True, exit_on_error=True)
    def _read(self, source: str, encoding: str | None, *, asked: bool) -> None:
        size = file_size(source)
        if not asked and size is not None and size > READ_UNASKED:
            self.post_message(
                self.FactsRead(source, encoding or "", None, too_large=f"{Path(source).name}: {bytes_(size)}; enter reads it.")
            )
            return
        try:
            facts = read_facts(source, encoding)
        except UserError as error:
            self.post_message(self.FactsRead(source, encoding or "", None, str(error)))
            return
        self.post_message(self.FactsRead(source, encoding or "", facts))
        for kind in KINDS:
            try:
                vocabulary = default_vocabulary(DEFAULT_PRESET, facts.bytes)
                self.post_message(self.Counted(source, kind, count_tokens(source, encoding, kind, vocabulary)))
            except (TokenizerError, VocabularyError) as error:
                self.post_message(self.Counted(source, kind, None, str(error)))

    @on(FactsRead)
    def _show_facts(self, message: FactsRead) -> None:
        if message.source != self._source:
            return
        self._is_reading = False
        self._facts = message.facts
        if message.facts is not None:
            self.post_message(self.TextRead(ChosenText(message.facts.source, message.encoding, message.facts)))
        self._is_too_large = bool(message.too_large)
        if message.too_large:
            self._hint(message.too_large)
        if message.error:
            self._hint(message.error.replace("--encoding", "the encoding"), wrong=True)
        self._show()
        if message.facts is not None and self._take_when_read:
            self.query_one("#use").focus()
        self._take_when_read = False
        if self._use_when_read:
            self._use_when_read = False
            self.use()

    @on(Counted)
    def _show_count(self, message: Counted) -> None:
        if message.source != self._source:
            return
        if message.count is None:
            self._counts[message.kind] = message.error
        else:
            about = "" if message.count.exact else "about "
            vocabulary = f" (vocabulary {whole(message.count.vocab_size)})" if message.kind == "bpe" else ""
            self._counts[message.kind] = f"{about}{whole(message.count.tokens)} as {message.kind}{vocabulary}"
        self._show()

    def _hint(self, words: str, *, wrong: bool = False) -> None:
        hint = self.query_one("#data-hint", Static)
        hint.set_class(wrong, "-wrong")
        hint.update(f"✗ {words}" if wrong else words)

    def _show(self) -> None:
        facts = self._facts
        self.query_one("#text-facts", FactList).facts = self._lines(facts)
        self.query_one("#preview-text", Static).update(printable(facts.preview) if facts else "")
        self.query_one("#preview").scroll_home(animate=False)
        self.query_one("#use").disabled = facts is None

    def _lines(self, facts: TextFacts | None) -> tuple[Fact, ...]:
        if facts is None:
            return (("text", self._source or "none chosen; stories is a good start"),)
        lines = [
            ("text", f"{facts.name}, built in" if facts.source in BUILTINS else facts.source),
            ("size", f"{whole(facts.bytes)} bytes, {whole(facts.characters)} characters"),
            ("tokens", f"{whole(facts.bytes)} as bytes"),
            *(("", self._counts.get(kind, f"counting {kind} …")) for kind in KINDS),
            ("cleaned", facts.cleaning),
            ("split", f"{bytes_(facts.bytes * 0.9)} training, {bytes_(facts.bytes * 0.1)} validation"),
        ]
        if facts.entropy_bits_per_byte is not None:
            lines.append(("entropy", f"{fixed(facts.entropy_bits_per_byte, 3)} bits per byte, the lower bound"))
        return tuple(lines)

    @on(Button.Pressed, "#use")
    def _use_pressed(self) -> None:
        self.use()

    def use(self) -> None:
        """Train on the text; one that is still being read is used once it has been."""
        if self._moving_to:
            source = self._moving_to
            self._cancel_preview()
            self._choose(source)
        if self._facts is not None:
            encoding = self.query_one("#encoding", Input).value.strip()
            self.screen.post_message(TextChosen(self._facts.source, encoding, "train"))
        elif self._is_reading:
            self._use_when_read = True
            self._hint(f"Reading {Path(self._source).name} …: it is used as soon as it has been read.")
        elif self._is_too_large:
            self._choose(self._source)
            self.use()
        elif not self._source:
            self._hint("Choose a text first: stories is a good start.")

    def type_path(self) -> None:
        """Focus the path field."""
        self.query_one(PathInput).focus()
