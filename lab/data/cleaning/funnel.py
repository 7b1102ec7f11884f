"""The funnel of a text: its bytes from raw to kept, by rule, with real excerpts of what was taken."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from lab.runs.run_schema import CleaningStep


@dataclass(frozen=True)
class ExcerptSpan:
    """A part of an excerpt: text that was kept, taken or added by the rule."""

    text: str
    kind: Literal["kept", "taken", "added"]
    omitted: int = 0
    """Characters of the text that are left out in the middle of a long span, where `text` has an ellipsis."""


@dataclass(frozen=True)
class Excerpt:
    """A real place of the text at which a rule took or changed something, with what stands around it."""

    spans: tuple[ExcerptSpan, ...]
    document: int
    """Number of its document, from 0."""
    reason: str = ""
    """The kind of thing that was taken, such as `cookie notice`, where the rule has several."""

    @property
    def before(self) -> str:
        """The excerpt as the rule found it."""
        return "".join(span.text for span in self.spans if span.kind != "added")

    @property
    def after(self) -> str:
        """The excerpt as the rule left it."""
        return "".join(span.text for span in self.spans if span.kind != "taken")

    @property
    def taken(self) -> tuple[tuple[int, int], ...]:
        """Half-open ranges of `before` that the rule took."""
        return self._ranges("taken", "added")

    @property
    def added(self) -> tuple[tuple[int, int], ...]:
        """Half-open ranges of `after` that the rule put there."""
        return self._ranges("added", "taken")

    def _ranges(self, wanted: str, absent: str) -> tuple[tuple[int, int], ...]:
        ranges = []
        at = 0
        for span in self.spans:
            if span.kind == absent:
                continue
            if span.kind == wanted:
                ranges.append((at, at + len(span.text)))
            at += len(span.text)
        return tuple(ranges)


@dataclass(frozen=True)
class ReasonCount:
    """The passages that a rule took or changed for one of its reasons, such as `cookie notice`."""

    reason: str
    passages: int
    bytes: int
    """As they were."""


@dataclass(frozen=True)
class Funnel:
    """A text's way from raw to kept. Bytes are of UTF-8, so that they compare with the training text."""

    source: str
    encoding: str
    file_bytes: int
    """Bytes of the files as they lie on disk."""
    raw_bytes: int
    """Bytes of the decoded text, before any rule."""
    kept_bytes: int
    documents: int
    """Documents that held text before any rule."""
    kept_documents: int
    steps: tuple[CleaningStep, ...]
    """By rule, in the order of application."""
    excerpts: dict[str, tuple[Excerpt, ...]] = field(default_factory=dict)
    """By rule: a few places, spread over the text."""
    reasons: dict[str, tuple[ReasonCount, ...]] = field(default_factory=dict)
    """By rule, for rules that name their reasons: the most bytes first."""
    decoding: str = ""
    """Effect of decoding in one sentence, or empty where the files are plain UTF-8."""
    notes: tuple[str, ...] = ()
    """A sentence for each limit that was reached, such as a full table of duplicates."""

    @property
    def nothing_left(self) -> str:
        """A sentence if the rules leave nothing of the text, else empty."""
        return nothing_left(self.steps, self.kept_bytes)


def nothing_left(steps: Sequence[CleaningStep], kept_bytes: int) -> str:
    """A sentence if these rules leave nothing of a text, naming the one that took the most; else empty."""
    if kept_bytes or not steps:
        return ""
    most = max(steps, key=lambda step: step.bytes_in - step.bytes_out)
    return f"Cleaning leaves nothing of this text: {most.rule} takes the most; leave that rule out, or choose another text."
