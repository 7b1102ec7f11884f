"""Held-out entropy of a text: bits per byte of its last tenth, to one who has seen a sample of what comes before.

It says how hard a text is to predict before any model has learned from it. Two measures of it are averaged, for each sees what
the other does not: counts of the next byte after the three before (interpolated by Witten & Bell 1991, "The zero-frequency
problem"), and a Lempel-Ziv compressor, which finds what was said word for word.
"""

import functools
import lzma

import numpy as np

from lab.data.corpus import Corpus
from lab.data.source_files import SourceStamp, source_stamp
from lab.data.text_source import open_corpus
from lab.data.token_file import Ids

SEEN, HELD = 400_000, 20_000
"""Bytes of the two samples, at most: together they take about half a second."""
PARTS = 20
"""Places that each sample is taken from."""
HELD_SHARE = 0.1
CONTEXT = 3


def held_out_entropy(corpus: Corpus) -> float | None:
    """Bits per byte; None for a text with too little to hold out. Reads the text once. Raises: UserError as `open_corpus`."""
    data = b"".join(_thinned(corpus))
    held = int(len(data) * HELD_SHARE)
    if held <= 10 * CONTEXT:
        return None
    seen, unseen = _spread(data[:-held], SEEN), _spread(data[-held:], HELD)
    return (by_counts(seen, unseen) + by_compression(seen, unseen)) / 2


def entropy_of(source: str, encoding: str | None, cleaning: tuple[str, ...]) -> float | None:
    """The held-out entropy of a source, computed once until it changes. Raises: UserError as `open_corpus`."""
    return _entropy_of(source, encoding, cleaning, source_stamp(source))


@functools.lru_cache(maxsize=16)
def _entropy_of(source: str, encoding: str | None, cleaning: tuple[str, ...], stamp: SourceStamp) -> float | None:
    return held_out_entropy(open_corpus(source, encoding, cleaning=cleaning))


def by_counts(seen: bytes, unseen: bytes) -> float:
    """Bits per byte of `unseen` by counts of up to four bytes in `seen`."""
    known, new = (np.frombuffer(data, np.uint8).astype(np.int64) for data in (seen, unseen))
    probability = np.full(max(0, len(new) - CONTEXT), 1 / 256)
    for length in range(CONTEXT + 1):
        (before, ending), (asked, asked_ending) = _codes(known, length), _codes(new, length)
        contexts, times = np.unique(before, return_counts=True)
        endings, ending_times = np.unique(ending, return_counts=True)
        kinds = np.bincount(np.searchsorted(contexts, endings >> 8), minlength=len(contexts))
        total, followers = _lookup(contexts, times, asked), _lookup(contexts, kinds, asked)
        found = _lookup(endings, ending_times, asked_ending)
        mixed = (found + followers * probability) / np.maximum(total + followers, 1)
        probability = np.where(total > 0, mixed, probability)
    return float(-np.log2(probability).mean())


def by_compression(seen: bytes, unseen: bytes) -> float:
    """Bits per byte that `unseen` adds to the compressed size of `seen`."""
    return 8 * (len(lzma.compress(seen + unseen)) - len(lzma.compress(seen))) / len(unseen)


def _codes(data: Ids, length: int) -> tuple[Ids, Ids]:
    """The `length` bytes before each byte as one number, and the same with that byte."""
    count = len(data) - CONTEXT
    code = np.zeros(count, np.int64)
    for at in range(CONTEXT - length, CONTEXT):
        code = (code << 8) + data[at : at + count]
    return code, (code << 8) + data[CONTEXT:]


def _lookup(keys: Ids, values: Ids, asked: Ids) -> Ids:
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[at] == asked, values[at], 0)


def _thinned(corpus: Corpus) -> list[bytes]:
    """A part of every chunk of the text, so that all together are some times as long as both samples."""
    share = min(1.0, 10 * (SEEN + HELD) / max(1, corpus.bytes))
    return [chunk[: max(1, round(share * len(chunk)))].encode() for chunk in corpus.chunks()]


def _spread(data: bytes, most: int) -> bytes:
    if len(data) <= most:
        return data
    step = len(data) // PARTS
    return b"".join(data[at * step : at * step + most // PARTS] for at in range(PARTS))
