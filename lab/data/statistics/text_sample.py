"""A sample of a text from a random place, given by a seed."""

import random
from dataclasses import dataclass

from lab.data.corpus import Corpus
from lab.data.statistics.passage_excerpts import Check, texts_at

SAMPLE_CHARACTERS = 2_000


@dataclass(frozen=True)
class TextSample:
    """`text` begins at character `start` of `total`, with line endings made alike."""

    text: str
    start: int
    total: int
    seed: int


def read_sample(corpus: Corpus, total: int, seed: int, check: Check, length: int = SAMPLE_CHARACTERS) -> TextSample:
    """The text at a random place of its first `total` characters; every place is as likely. Reads the text up to there.

    Raises:
        UserError: where the text cannot be read or decoded.
    """
    start = random.Random(seed).randrange(max(1, total - length + 1))
    text = texts_at(corpus.document_parts, corpus.file_bytes, [(start, start + length)], check)[0]
    return TextSample(text, start, total, seed)
