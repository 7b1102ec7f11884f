"""The facts of a text as labels and values; the source of the stories in a size."""

from __future__ import annotations

from collections.abc import Mapping

from lab.core.number_format import bytes_, counted, fixed, whole
from lab.data.builtin_texts import is_builtin
from lab.data.corpus import shown_source
from lab.data.statistics.text_statistics import TextFacts
from lab.runs.run_schema import DEFAULT_RULES
from models.tokenizers.tokenizer_kinds import TokenizerKind
from screens.data.text_reader import KINDS
from screens.widgets.fact_list import Fact

STORIES, DEFAULT_SIZE = "stories", "1MB"
"""The built-in text that has a size, and the size that its name alone means."""


def is_stories(source: str) -> bool:
    """True for the stories in any size."""
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
    cleaned = f"by {counted(len(rules), 'rule')}: e shows what each takes" if rules else "not at all: e shows the rules"
    lines += [
        ("size", f"{whole(facts.bytes)} bytes, {whole(facts.characters)} characters"),
        ("tokens", f"{whole(facts.bytes + facts.documents - 1)} as bytes"),
        *(("", counts.get(kind, f"counting {kind} …")) for kind in KINDS),
        ("cleaned", facts.cleaning if rules == DEFAULT_RULES else cleaned),
        ("split", f"{bytes_(facts.bytes * 0.9)} training, {bytes_(facts.bytes * 0.1)} validation"),
    ]
    if facts.entropy_bits_per_byte is not None:
        lines.append(("entropy", f"{fixed(facts.entropy_bits_per_byte, 3)} bits per byte, the lower bound"))
    return tuple(lines)
