"""Split a text into a training and a validation part, and choose the segments that evaluations use.

All places are byte offsets that follow from the text alone, so that runs with other tokenizers or settings are trained and
evaluated on the same bytes. Each is a border between tokens, at which GPT-2's pattern splits in any case, so that the ids are
those of the whole text though what lies on its two sides is encoded apart.
"""

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from lab.core.errors import UserError
from lab.data.corpus import DOCUMENT_BORDER, Corpus, DocumentChunk, ReadProgress, shown_source
from lab.data.text_chunks import LONGEST_CHARACTER, LONGEST_CHUNK, border_in

VALIDATION_FRACTION = 0.1
"""Fraction of a text's bytes for validation, about; the part begins at a border."""
TRAINING_FRACTION = 1 - VALIDATION_FRACTION
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
    """Byte offsets: [0, split) is trained on, [split, bytes) is for validation."""

    bytes: int
    split: int
    evaluated: Ranges
    """The ranges that evaluations during training use."""
    final: Ranges
    """The ranges that the evaluation at the end uses."""

    @property
    def cuts(self) -> list[int]:
        """Every place at which a token must end, in order."""
        return sorted({0, self.split, self.bytes, *(edge for ranges in (self.evaluated, self.final) for edge in _edges(ranges))})


def split_text(corpus: Corpus, progress: ReadProgress = lambda done, total: None) -> Split:
    """Split the text, reading it once more. `progress` counts bytes of text. Raises UserError where it cannot be read."""
    total = corpus.bytes
    text = _Window(corpus.document_chunks(), lambda done: progress(done, total))
    wanted = total - round(total * VALIDATION_FRACTION)
    split = text.border(wanted, max(4, min(SPLIT_WINDOW, total // 100)), (total - wanted) // 2, before=min(1, wanted))
    spread = [_spread(split, total, *shape) for shape in (EVALUATION_SEGMENTS, FINAL_SEGMENTS)]
    edges = {split: split, total: total}
    for edge in sorted({edge for ranges in spread for edge in _edges(ranges)} - edges.keys()):
        edges[edge] = text.border(edge, EDGE_WINDOW, LONGEST_CHUNK)
    evaluated, final = (
        tuple((edges[start], edges[stop]) for start, stop in ranges if edges[start] < edges[stop] or start == split)
        for ranges in spread
    )
    return Split(total, split, evaluated, final)


def pieces(corpus: Corpus, cuts: list[int]) -> Iterator[Piece]:
    """The text in parts that end at every one of `cuts` and where `Corpus.document_chunks` ends them."""
    start = 0
    for chunk in corpus.document_chunks():
        encoded = chunk.text.encode()
        stop = start + len(encoded)
        ends = [*cuts[bisect_right(cuts, start) : bisect_right(cuts, stop - 1)], stop]
        for begin, end in zip([start, *ends[:-1]], ends, strict=True):
            yield Piece(begin, encoded[begin - start : end - start], chunk.starts and begin == start)
        start = stop


class TextChangedError(UserError):
    """The text is no longer the one that was measured."""

    def __init__(self, source: str) -> None:
        super().__init__(f"{shown_source(source)} changed while it was being read; try again when nothing writes to it.")


def checked_pieces(corpus: Corpus, cuts: list[int]) -> Iterator[Piece]:
    """`pieces`, held to the checksum of the text. Raises TextChangedError at the end if they are of another text."""
    digest = hashlib.sha256()
    for piece in pieces(corpus, cuts):
        if piece.starts and piece.offset:
            digest.update(DOCUMENT_BORDER)
        digest.update(piece.bytes)
        yield piece
    if digest.hexdigest() != corpus.sha256:
        raise TextChangedError(corpus.source)


def training_text(corpus: Corpus, split: Split, report: Callable[[float], None]) -> Iterator[str]:
    """The training part in chunks: a vocabulary is learned from it. `report` is called with the fraction of it that was read.

    The rest is read, too, since only the whole text can be held to its checksum. Raises TextChangedError where that differs.
    """
    for offset, piece, _ in checked_pieces(corpus, [split.split]):
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


def _spread(start: int, stop: int, count: int, size: int) -> Ranges:
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

    def __init__(self, chunks: Iterator[DocumentChunk], progress: Callable[[int], None]) -> None:
        self._chunks = chunks
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
        while self._start + len(self._bytes) < offset + reach + LONGEST_CHARACTER and (chunk := next(self._chunks, None)):
            kept = self._bytes[max(0, start - self._start) :]
            self._start += len(self._bytes) - len(kept)
            if chunk.starts:
                self._documents.append(self._start + len(kept))
            self._bytes = kept + chunk.text.encode()
            self._progress(self._start + len(self._bytes))
        self._documents = [at for at in self._documents if at >= offset]
