"""Split a text into a training and a validation part, and choose the segments that evaluations use.

All places are byte offsets that follow from the text alone, so that runs with other tokenizers or settings are trained and
evaluated on the same bytes. Each is a border between tokens, at which GPT-2's pattern splits in any case, so that the ids are
those of the whole text though what lies on its two sides is encoded apart.
"""

import hashlib
import random
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from lab.core.child_process import Progress
from lab.core.errors import UserError
from lab.data.corpus import DOCUMENT_BORDER, Corpus, shown_source
from lab.data.text_chunks import LONGEST_CHARACTER, LONGEST_CHUNK, border_in

HELD_BLOCKS = 10
"""Blocks of a validation part that is drawn from all over the text."""
SPLIT_WINDOW = 1 << 16
"""Bytes after the nominal split in which its border is looked for, at most: a hundredth of the text, or four bytes."""

EVALUATION_SEGMENTS = (32, 1 << 10)
"""Number and bytes of the segments that an evaluation during training uses, spread evenly over the validation part, or all of it
where it is shorter. By default it takes 6% of the time of the 100 steps before it where tokens are bytes, else less."""
FINAL_SEGMENTS = (128, 1 << 13)
"""The same for the evaluation at the end: all of a validation part of up to 1 MiB, which a text of 10 MiB has."""
FINAL_BYTES = FINAL_SEGMENTS[0] * FINAL_SEGMENTS[1]
EDGE_WINDOW = 128
"""Bytes after the nominal edge of a segment in which its border is looked for."""

CHARACTER_START = re.compile(rb"(?=[\x00-\x7f\xc0-\xff])")
"""Before the first byte of a character: where a long run of letters or spaces has no border between tokens."""

Ranges = tuple[tuple[int, int], ...]
"""Half-open ranges, in order, none overlapping."""


class Piece(NamedTuple):
    """A part of a text's bytes, from `offset` on; `starts` is true where a document begins with it."""

    offset: int
    bytes: bytes
    starts: bool


@dataclass(frozen=True)
class Split:
    """Byte offsets in the order of tokens.bin: [0, split) is trained on, [split, bytes) is for validation."""

    bytes: int
    split: int
    evaluated: Ranges
    """The ranges that evaluations during training use."""
    final: Ranges
    """The ranges that the evaluation at the end uses."""
    held: Ranges = ()
    """The ranges of the text that the validation part is, where it is neither the text's end nor a text of its own."""

    @property
    def cuts(self) -> list[int]:
        """Every place at which a token must end, in order."""
        return sorted({0, self.split, self.bytes, *(edge for ranges in (self.evaluated, self.final) for edge in _edges(ranges))})


def split_text(corpus: Corpus, progress: Progress = lambda done, total: None) -> Split:
    """Split the text as its `holdout` says, reading it once more, or twice. `progress` counts bytes of text.

    Raises UserError where it cannot be read.
    """
    whole, other, seed = corpus.bytes, corpus.validation, corpus.holdout.seed
    held = _held_out(corpus, seed, lambda done: progress(done // 2, whole)) if seed is not None and other is None else ()
    total = whole + (other.bytes if other is not None else 0)
    text = _Window(_in_order(corpus, held), lambda done: progress((whole + done) // 2 if held else done, total))
    split = total - sum(stop - start for start, stop in held)
    if other is not None:
        split = whole
    elif seed is None:
        wanted = total - round(total * corpus.holdout.share)
        split = text.border(wanted, max(4, min(SPLIT_WINDOW, total // 100)), (total - wanted) // 2, before=min(1, wanted))
    spread_over = [spread(split, total, *shape) for shape in (EVALUATION_SEGMENTS, FINAL_SEGMENTS)]
    edges = {split: split, total: total}
    for edge in sorted({edge for ranges in spread_over for edge in _edges(ranges)} - edges.keys()):
        edges[edge] = text.border(edge, EDGE_WINDOW, LONGEST_CHUNK)
    evaluated, final = (
        tuple((edges[start], edges[stop]) for start, stop in ranges if edges[start] < edges[stop] or start == split)
        for ranges in spread_over
    )
    return Split(total, split, evaluated, final, held)


def _held_out(corpus: Corpus, seed: int, progress: Callable[[int], None]) -> Ranges:
    """Ranges of the text for validation: `HELD_BLOCKS` of the blocks of equal size that it is cut into at borders, drawn with the
    seed. Blocks side by side are one range."""
    count = round(HELD_BLOCKS / corpus.holdout.share)
    size = corpus.bytes / count
    text = _Window(_parts(corpus), progress)
    edges = [0]
    for at in range(1, count):
        edges.append(max(edges[-1], text.border(int(at * size), max(4, min(SPLIT_WINDOW, int(size / 4))), int(size / 2))))
    edges.append(corpus.bytes)
    ranges: list[tuple[int, int]] = []
    for at in sorted(random.Random(seed).sample(range(count), HELD_BLOCKS)):
        begins = ranges.pop()[0] if ranges and ranges[-1][1] == edges[at] else edges[at]
        ranges.append((begins, edges[at + 1]))
    return tuple(each for each in ranges if each[0] < each[1])


def pieces(corpus: Corpus, cuts: list[int], held: Ranges = ()) -> Iterator[Piece]:
    """The text in the order of tokens.bin, in parts that end at every one of `cuts` and where `Corpus.document_chunks` ends them.

    What is trained on comes first: where there are `held` ranges for validation, the text is read twice. It is held to its
    checksum. Raises TextChangedError at the end if it is another text.
    """
    return _cut(_in_order(corpus, held), cuts)


def _in_order(corpus: Corpus, held: Ranges) -> Iterator[tuple[bytes, bool]]:
    """The parts of the training part, then those of the validation part; true where a document begins."""
    for wanted in (False, True) if held else (False,):
        for offset, data, starts in _cut(_parts(corpus), list(_edges(held))):
            if in_ranges(held, offset) == wanted:
                yield data, starts
    if corpus.validation is not None:
        for at, (data, starts) in enumerate(_parts(corpus.validation)):
            yield data, starts and (at > 0 or corpus.has_end_of_text)


def _parts(corpus: Corpus) -> Iterator[tuple[bytes, bool]]:
    """The text as it is, held to its checksum."""
    digest = hashlib.sha256()
    for at, chunk in enumerate(corpus.document_chunks()):
        data = chunk.text.encode()
        digest.update(DOCUMENT_BORDER + data if chunk.starts and at else data)
        yield data, chunk.starts
    if digest.hexdigest() != corpus.sha256:
        raise TextChangedError(corpus.source)


def _cut(parts: Iterable[tuple[bytes, bool]], cuts: list[int]) -> Iterator[Piece]:
    """The parts, cut at these offsets, which are in order."""
    start = 0
    for data, starts in parts:
        stop = start + len(data)
        ends = [*cuts[bisect_right(cuts, start) : bisect_right(cuts, stop - 1)], stop]
        for begin, end in zip([start, *ends[:-1]], ends, strict=True):
            yield Piece(begin, data[begin - start : end - start], starts and begin == start)
        start = stop


class TextChangedError(UserError):
    """The text is no longer the one that was measured."""

    def __init__(self, source: str) -> None:
        super().__init__(f"{shown_source(source)} changed while it was being read; try again when nothing writes to it.")


def training_text(corpus: Corpus, split: Split, report: Callable[[float], None]) -> Iterator[str]:
    """The training part in chunks: a vocabulary is learned from it. `report` is called with the fraction of it that was read.

    The rest is read, too, since only the whole text can be held to its checksum. Raises TextChangedError where that differs.
    """
    for offset, piece, _ in pieces(corpus, [split.split], split.held):
        if offset < split.split:
            yield piece.decode()
        report(min(1.0, (offset + len(piece)) / split.split))


def in_ranges(ranges: Ranges, offset: int) -> bool:
    """True if the offset lies in one of the ranges."""
    at = bisect_right(ranges, offset, key=lambda each: each[0]) - 1
    return at >= 0 and offset < ranges[at][1]


def evaluated_windows(validation_bytes: float, validation_tokens: float, context: int) -> float:
    """Estimated windows of an evaluation during training: every window that overlaps a segment is computed."""
    count, size = EVALUATION_SEGMENTS
    every = validation_tokens / context
    if validation_bytes <= count * size:
        return every
    return min(every, count * (1 + (size * validation_tokens / validation_bytes - 1) / context))


def spread(start: int, stop: int, count: int, size: int) -> Ranges:
    """`count` ranges of `size` each, evenly over [start, stop), the first at its start and the last at its end."""
    length = stop - start
    if length <= count * size:
        return ((start, stop),)
    begins = [start + index * (length - size) // (count - 1) for index in range(count)]
    return tuple((begin, begin + size) for begin in begins)


def _edges(ranges: Ranges) -> Iterator[int]:
    for each in ranges:
        yield from each


class _Window:
    """A window over the bytes of a text, moved from front to back."""

    def __init__(self, parts: Iterator[tuple[bytes, bool]], progress: Callable[[int], None]) -> None:
        self._parts = parts
        self._progress = progress
        self._start = 0
        self._bytes = b""
        self._documents: list[int] = []
        """Offsets at which a document begins, from where borders are looked for on."""

    def border(self, offset: int, window: int, farthest: int, before: int = 0) -> int:
        """The best border in the `window` bytes from `offset`, the first of its kind, a document's start before all others; else
        the first one in `farthest` bytes, or the text's end if it is that near; else a character's. It may lie `before` bytes
        earlier. Offsets must not fall."""
        for reach in (window, farthest):
            self._read(offset, reach)
            starts = [at for at in self._documents if at <= offset + reach][:1]
            if starts and reach == window:
                return starts[0]
            found = border_in(self._bytes, offset - before - self._start, reach + before, first=reach != window)
            if starts or found is not None:
                return min([*starts, *([] if found is None else [self._start + found])])
        end, here = self._start + len(self._bytes), offset - self._start
        match = None if end <= offset + farthest else CHARACTER_START.search(self._bytes, here)
        return end if match is None else self._start + match.start()

    def _read(self, offset: int, reach: int) -> None:
        start = max(0, offset - LONGEST_CHARACTER)
        while self._start + len(self._bytes) < offset + reach + LONGEST_CHARACTER and (part := next(self._parts, None)):
            kept = self._bytes[max(0, start - self._start) :]
            self._start += len(self._bytes) - len(kept)
            data, starts = part
            if starts:
                self._documents.append(self._start + len(kept))
            self._bytes = kept + data
            self._progress(self._start + len(self._bytes))
        self._documents = [at for at in self._documents if at >= offset]
