"""The funnel of a text: its bytes from raw to kept, by rule, measured as it streams through, with excerpts from all over it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lab.data.cleaning.cleaner import Cleaner, Passage, utf8_bytes
from lab.runs.run_schema import CleaningStep


@dataclass(frozen=True)
class ExcerptSpan:
    """A part of an excerpt: text that was kept, taken or added by the rule."""

    text: str
    """With an ellipsis for what is left out in the middle of a long span."""
    kind: Literal["kept", "taken", "added"]


@dataclass(frozen=True)
class Excerpt:
    """A real place of the text at which a rule took or changed something, with what stands around it."""

    spans: tuple[ExcerptSpan, ...]
    document: int
    """Number of its document, from 0."""
    reason: str = ""
    """The kind of thing that was taken, such as `cookie notice`, where the rule has several."""

    def side(self, own: Literal["taken", "added"]) -> tuple[str, list[tuple[int, int]]]:
        """The excerpt as the rule found it, with the half-open ranges that it took; or as it left it, with those it added."""
        text, ranges = "", []
        for span in self.spans:
            if span.kind in ("kept", own):
                text += span.text
            if span.kind == own:
                ranges.append((len(text) - len(span.text), len(text)))
        return text, ranges


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


EXCERPTS = 8
"""Most excerpts of a rule."""
CONTEXT = 80
"""Characters before and after what was taken."""
LONGEST_SPAN = 400
"""Characters of a passage in an excerpt; of a longer one its beginning and its end."""


@dataclass
class _Sample:
    """At most `EXCERPTS` of what it is shown, spread evenly: every `stride`-th; the stride doubles as their number grows."""

    kept: list[tuple[int, Excerpt]] = field(default_factory=list)
    seen: int = 0
    stride: int = 1
    end: int = -CONTEXT
    """Place in the text up to which the last one reaches: another begins `CONTEXT` bytes later, so that no two show the same."""

    def wants(self, start: int, stop: int) -> bool:
        """True if the passage at these bytes of the text is to be kept; counts it."""
        if start < self.end + CONTEXT:
            return False
        self.end = stop
        self.seen += 1
        return (self.seen - 1) % self.stride == 0

    def keep(self, excerpt: Excerpt) -> None:
        self.kept.append((self.seen - 1, excerpt))
        if len(self.kept) > EXCERPTS:
            self.stride *= 2
            self.kept = [each for each in self.kept if each[0] % self.stride == 0]


@dataclass
class _Rule:
    name: str
    bytes_in: int = 0
    bytes_out: int = 0
    removed: int = 0
    before: int = 0
    after: int = 0
    passages_removed: int = 0
    passages_changed: int = 0
    documents_emptied: int = 0
    document_in: int = 0
    document_out: int = 0
    reasons: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    samples: dict[str, _Sample] = field(default_factory=lambda: defaultdict(_Sample))
    context: str = ""
    """The last characters of what the rule left of this document so far."""

    def end_document(self) -> None:
        self.documents_emptied += self.document_in > 0 and not self.document_out
        self.document_in = self.document_out = 0
        self.context = ""

    def step(self) -> CleaningStep:
        counts = {name: getattr(self, name) for name in CleaningStep.__struct_fields__ if name != "rule"}
        return CleaningStep(rule=self.name, **counts)


class FunnelMeter:
    """Counts for each of the rules; excerpts and reasons only where `excerpts` is true."""

    def __init__(self, rules: Sequence[str], *, excerpts: bool = False) -> None:
        self._rules = [_Rule(name) for name in rules]
        self._excerpts = excerpts
        self.raw_bytes = 0
        self.kept_bytes = 0
        self.documents = 0
        """Documents that held text before the rules."""
        self.kept_documents = 0
        self.notes: tuple[str, ...] = ()
        self._number = -1
        self._raw = self._kept = 0
        """Bytes of this document."""

    def begin_document(self) -> None:
        self._end_document()
        self._number += 1

    def add(self, raw: str, kept: str) -> None:
        """Count a part of the document, and what the rules have given back for it."""
        self._raw += utf8_bytes(raw)
        self._kept += utf8_bytes(kept)

    def measured(self, at: int, cleaner: Cleaner, text: str, last: bool) -> str:
        """The text as a rule leaves it."""
        passages = cleaner.feed(text, last)
        rule = self._rules[at]
        for index, passage in enumerate(passages):
            before = utf8_bytes(passage.before)
            after = before if passage.kept else utf8_bytes(passage.after)
            rule.document_in += before
            rule.document_out += after
            rule.bytes_in += before
            rule.bytes_out += after
            if passage.kept:
                continue
            if passage.after:
                rule.before += before - passage.same
                rule.after += after - passage.same
                rule.passages_changed += passage.changes
            else:
                rule.removed += before
                rule.passages_removed += passage.changes
            if self._excerpts:
                reason = rule.reasons[passage.reason]
                reason[0] += passage.changes
                reason[1] += before - passage.same
                sample = rule.samples[passage.reason]
                if passage.changes == 1 and sample.wants(rule.bytes_in - before, rule.bytes_in):
                    sample.keep(_excerpt(passages, index, rule.context, max(0, self._number)))
        if self._excerpts:
            rule.context = next((each.after[-CONTEXT:] for each in reversed(passages) if each.after), rule.context)
        return passages[0].after if len(passages) == 1 else "".join(passage.after for passage in passages)

    def steps(self) -> tuple[CleaningStep, ...]:
        """The effect of each rule, once the text has been read to its end."""
        self._end_document()
        return tuple(rule.step() for rule in self._rules)

    def excerpts(self) -> dict[str, tuple[Excerpt, ...]]:
        """By rule, in the order of the text: of each reason as many as there is room for."""
        return {rule.name: _spread(list(rule.samples.values())) for rule in self._rules if rule.samples}

    def reasons(self) -> dict[str, tuple[ReasonCount, ...]]:
        """By rule, for those that name their reasons, the most bytes first."""
        named = {rule.name: rule.reasons for rule in self._rules if any(rule.reasons)}
        return {
            name: tuple(sorted((ReasonCount(reason, *counts) for reason, counts in found.items()), key=lambda each: -each.bytes))
            for name, found in named.items()
        }

    def _end_document(self) -> None:
        self.raw_bytes += self._raw
        self.kept_bytes += self._kept
        self.documents += self._raw > 0
        self.kept_documents += self._kept > 0
        self._raw = self._kept = 0
        for rule in self._rules:
            rule.end_document()


def _spread(samples: list[_Sample]) -> tuple[Excerpt, ...]:
    """Up to `EXCERPTS` of the samples, each in turn, sorted by place."""
    in_turn = [sample.kept[turn][1] for turn in range(EXCERPTS) for sample in samples if turn < len(sample.kept)]
    return tuple(sorted(in_turn[:EXCERPTS], key=lambda excerpt: excerpt.document))


def _excerpt(passages: Sequence[Passage], index: int, context: str, document: int) -> Excerpt:
    """The passage at `index` with what stands around it, up to `CONTEXT` characters on each side."""
    before, room = _beside(reversed(passages[:index]), from_end=True)
    if room and context:
        before = [ExcerptSpan(context[-room:], "kept"), *before]
    after, _ = _beside(passages[index + 1 :], from_end=False)
    return Excerpt((*before, *_spans(passages[index], LONGEST_SPAN, from_end=False), *after), document, passages[index].reason)


def _beside(passages: Iterable[Passage], *, from_end: bool) -> tuple[list[ExcerptSpan], int]:
    """As many of the next passages as there is room for, in the order of the text, and the room that is left for more."""
    found: list[ExcerptSpan] = []
    room = CONTEXT
    for passage in passages:
        if room <= 0 or (not passage.kept and len(passage.before) + len(passage.after) > room):
            return found, 0
        spans = _spans(passage, room, from_end=from_end)
        found = spans + found if from_end else found + spans
        room -= len(passage.before)
    return found, max(0, room)


def _spans(passage: Passage, room: int, *, from_end: bool) -> list[ExcerptSpan]:
    if passage.kept:
        return [ExcerptSpan(passage.before[-room:] if from_end else passage.before[:room], "kept")]
    spans = [_shortened(passage.before, "taken")]
    return [*spans, _shortened(passage.after, "added")] if passage.after else spans


def _shortened(text: str, kind: Literal["taken", "added"]) -> ExcerptSpan:
    if len(text) <= LONGEST_SPAN:
        return ExcerptSpan(text, kind)
    half = LONGEST_SPAN // 2
    return ExcerptSpan(f"{text[:half]} … {text[-half:]}", kind)
