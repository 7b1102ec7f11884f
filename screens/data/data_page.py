"""The base class of the pages of Data, the text that they show, and its facts as lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from lab.core.number_format import bytes_, counted, fixed, probability, whole
from lab.data.builtin_texts import is_builtin
from lab.data.corpus import shown_source
from lab.data.source_files import SourceStamp
from lab.data.statistics.text_statistics import TextFacts
from lab.data.text_source import path_of, sources_of
from lab.runs.run_schema import DEFAULT_RULES
from models.config import TokenizerKind
from screens.base_screen import Page
from screens.widgets.piece_lines import Fact

NO_TEXT = "No text is chosen yet: esc shows the texts."


@dataclass(frozen=True)
class ChosenText:
    """A text that has been read: what opens it again, the encoding that the user gave, and its facts."""

    source: str
    encoding: str
    """Empty if it is auto-detected."""
    facts: TextFacts
    """Those of the text as it was cleaned when it was read; the rules may have changed since."""
    cleaning: tuple[str, ...] = DEFAULT_RULES
    """Names of the cleaning rules that the user has chosen."""

    @property
    def as_read(self) -> tuple[str, str, SourceStamp]:
        """The text before any rule: another where its file has changed."""
        return self.source, self.encoding, self.facts.stamp

    @property
    def key(self) -> TextKey:
        return self.source, self.encoding, self.cleaning


class DataPage(Page):
    """One page. A subclass is mounted when it is first visited, and only a page in sight is told to show a text."""

    STEP: ClassVar[int] = 0
    """The step of text → cleaned → tokens that it is about."""

    WORK: ClassVar[tuple[str, ...]] = ()
    """Groups of the background work that ends when the page is left."""

    def show(self, text: ChosenText | None) -> None:
        """Show this text; None while there is none, or it is being read. Called when the page opens and when the text changes."""

    def hide(self) -> None:
        """End the work of a page that is no longer in sight."""
        for group in self.WORK:
            self.workers.cancel_group(self, group)


READ_UNASKED = 50_000_000
"""Largest text in bytes that is read as soon as the cursor is on it."""
KINDS: tuple[TokenizerKind, ...] = ("bpe", "gpt2")
HINT_IN_FIELD = "escape leaves the field, then n"
"""The key that uses the text: in a text field it is a letter."""
SUGGESTION = re.compile(r"try --encoding (\S+)\.$")


def share_read(done: int, total: int) -> str:
    """The share of a text's bytes that a process has read."""
    return f"{probability(done / total, 0) if total else '…'} of {bytes_(total)}"


def encoding_hint(problem: str) -> tuple[str, str]:
    """A problem of reading as the page says it, and the encoding to try, if that is all there is to do."""
    found = SUGGESTION.search(problem)
    if found is None:
        return problem.replace("--encoding", "the encoding"), ""
    guess = found[1]
    return SUGGESTION.sub(f"press enter to read it as {guess}.", problem), guess


TextKey = tuple[str, str, tuple[str, ...]]
"""All that the text as it is trained on depends on: its source, its encoding, "" if it is auto-detected, and its rules."""


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
