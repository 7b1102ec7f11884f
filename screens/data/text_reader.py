"""Read the facts of a text, and have its tokens counted, for the page that chooses one; the facts as lines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from textual import events, on
from textual.message import Message
from textual.widgets import Input, Label, Static

from lab.core.errors import UserError
from lab.core.number_format import bytes_, counted, fixed, whole
from lab.data.builtin_stories import grammar_text
from lab.data.builtin_texts import is_builtin
from lab.data.corpus import shown_source
from lab.data.path_completion import working_folder
from lab.data.source_files import file_size
from lab.data.statistics.text_statistics import CountRequest, TextFacts, TokenCount, read_facts, run_count_process
from lab.data.text_source import path_of, sources_of
from lab.planning.default_hyperparameters import default_vocabulary
from lab.runs.run_schema import DEFAULT_RULES
from models.config import DEFAULT_PRESET, TokenizerKind
from screens.background import in_thread, latest, still_wanted
from screens.data.data_page import DataPage
from screens.widgets.fact_list import Fact

READ_UNASKED = 50_000_000
"""Largest text in bytes that is read as soon as the cursor is on it."""
KINDS: tuple[TokenizerKind, ...] = ("bpe", "gpt2")
HINT_IN_FIELD = "escape leaves the field, then n"
"""The key that uses the text: in a text field it is a letter."""
SUGGESTION = re.compile(r"try --encoding (\S+)\.$")


def encoding_hint(problem: str) -> tuple[str, str]:
    """A problem of reading as the page says it, and the encoding to try, if that is all there is to do."""
    found = SUGGESTION.search(problem)
    if found is None:
        return problem.replace("--encoding", "the encoding"), ""
    guess = found[1]
    return SUGGESTION.sub(f"press enter to read it as {guess}.", problem), guess


TextKey = tuple[str, str, tuple[str, ...]]
"""All that the text as it is trained on depends on: its source, its encoding, "" if it is auto-detected, and its rules."""


class TextReader(DataPage):
    """A page that reads texts. Posts `FactsRead`, then `Counted` for each kind of tokens."""

    source: str = ""
    rules: tuple[str, ...] = DEFAULT_RULES
    read_encoding: str = ""
    """The encoding that it was asked for in; empty if it is auto-detected."""

    _encoding_is_recent = False
    """True if the encoding in the field is that of a recent text, or was guessed for one: the next text has another."""

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

    @dataclass
    class FactsRead(Message):
        """The facts of a text, or the reason why it cannot be used."""

        key: TextKey
        facts: TextFacts | None
        error: str = ""
        too_large: str = ""

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

    @latest("facts")
    async def read(self, key: TextKey, *, asked: bool) -> None:
        found = await in_thread(self._facts_of, key, asked)
        self.post_message(found)
        if found.facts is not None:
            await self._count(key, KINDS, default_vocabulary(DEFAULT_PRESET, found.facts.bytes))

    def _facts_of(self, key: TextKey, asked: bool) -> FactsRead:
        source, encoding, rules = key
        working_folder()  # one that was removed is left: in it a relative path has no meaning
        size = file_size(source)
        if not asked and size is not None and size > READ_UNASKED:
            return self.FactsRead(key, None, too_large=f"{short_name(source)}: {bytes_(size)}; enter reads it.")
        try:
            facts = read_facts(source, encoding or None, rules)
        except UserError as error:
            return self.FactsRead(key, None, str(error))
        if facts.entropy_bits_per_byte is not None:
            grammar_text()  # now, in a thread, so that the key that shows it need not wait
        return self.FactsRead(key, facts)

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


def short_name(source: str) -> str:
    """A text's name in a hint: that of its file, or of the first of several."""
    first = sources_of(source)[0]
    return shown_source(source.replace(first, path_of(first).name, 1))


STORIES, DEFAULT_SIZE = "stories", "1MB"
"""The built-in text that has a size, and the size that its name alone means."""


def is_stories(source: str) -> bool:
    return source.lower().partition(":")[0] == STORIES and is_builtin(source)


def sized(source: str, size: str) -> str:
    """The source of the stories in this size; any other source as it is."""
    return f"{STORIES}:{size}" if source == STORIES and size != DEFAULT_SIZE else source


def unread_lines(source: str, is_reading: bool) -> tuple[Fact, ...]:
    """The facts of a text that has not been read, or is being read."""
    lines = (("text", shown_source(source) if source else "none chosen; stories is a good start"),)
    return (*lines, ("", "reading …")) if is_reading else lines


def fact_lines(facts: TextFacts, counts: Mapping[TokenizerKind, str], rules: tuple[str, ...]) -> tuple[Fact, ...]:
    """The facts of a text as labels and values, with the sentences that `counts` gives of its tokens."""
    lines = [("text", f"{facts.source}, built in" if is_builtin(facts.source) else shown_source(facts.source))]
    if facts.documents > 1 or facts.left_out:
        number = counted(facts.documents, "document")
        lines.append(("files", f"{number}; left out: {facts.left_out}" if facts.left_out else number))
    cleaned = f"by {counted(len(rules), 'rule')}: Clean shows what each takes" if rules else "not at all: Clean shows the rules"
    lines += [
        ("size", f"{counted(facts.bytes, 'byte')}, {counted(facts.characters, 'character')}"),
        ("tokens", f"{whole(facts.bytes + facts.documents - 1)} as bytes"),
        *(("", counts.get(kind, f"counting {kind} …")) for kind in KINDS),
        ("cleaned", facts.cleaning if rules == DEFAULT_RULES else cleaned),
        ("split", f"{bytes_(facts.bytes * 0.9)} training, {bytes_(facts.bytes * 0.1)} validation"),
    ]
    if facts.entropy_bits_per_byte is not None:
        lines.append(("entropy", f"{fixed(facts.entropy_bits_per_byte, 3)} bits per byte, the lower bound"))
    return tuple(lines)
