"""A sample of a text from a random place, given by a seed, or from a place that is named."""

import random
from dataclasses import dataclass

from lab.data.corpus import Corpus
from lab.data.statistics.passage_excerpts import Check, texts_at
from lab.data.statistics.stream_statistics import TextStatistics

SAMPLE_CHARACTERS = 4_000


@dataclass(frozen=True)
class TextSample:
    """`text` begins at character `start` of `total`, with line endings made alike."""

    text: str
    start: int
    total: int


def random_start(total: int, seed: int, length: int = SAMPLE_CHARACTERS) -> int:
    """A place where a sample of a text of `total` characters begins; every place is as likely."""
    return random.Random(seed).randrange(max(1, total - length + 1))


def places_of(statistics: TextStatistics) -> int:
    """Characters of the text that has been read, with line endings made alike: what places are counted in."""
    return statistics.repeats.length if statistics.repeats else max(0, statistics.characters - statistics.endings.crlf)


def read_sample(corpus: Corpus, start: int, total: int, check: Check, length: int = SAMPLE_CHARACTERS) -> TextSample:
    """The text from character `start` on. Reads the text up to there.

    Raises:
        UserError: where the text cannot be read or decoded.
    """
    return TextSample(texts_at(corpus.document_parts, corpus.file_bytes, [(start, start + length)], check)[0], start, total)
