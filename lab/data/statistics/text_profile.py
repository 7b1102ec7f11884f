"""The profile of a text: how it was opened and decoded, its statistics, read step by step and kept, and samples of it."""

import random
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from lab.core.errors import UserError
from lab.core.number_format import whole
from lab.data.builtin_texts import is_builtin
from lab.data.corpus import Corpus, CorpusFile, shown_source, unreadable
from lab.data.source_files import SourceStamp, can_be_read_again, is_one_file, source_stamp
from lab.data.statistics.repeated_passages import Check, texts_at
from lab.data.statistics.stream_statistics import TextStatistics, stream_statistics
from lab.data.text_encoding import BYTE_ORDER_MARKS, read_head
from lab.data.text_source import open_corpus, path_of

MOST_KEPT = 8
"""Complete profiles that are kept: some 200 kB each."""

EVERY_BYTE_FITS = "no byte-order mark, and every byte fits"


@dataclass(frozen=True)
class TextProfile:
    name: str
    source: str
    encoding: str
    decision: str
    """The reason for this encoding, in words."""
    left_out: str
    """Files that are no part of the text, in words; empty if there are none."""
    files: tuple[CorpusFile, ...]
    """Name and bytes of each document that has been read so far."""
    statistics: TextStatistics
    entropy_bits_per_byte: float | None = None
    """True entropy of the text's source, where it is known."""


_Key = tuple[str, str | None, tuple[str, ...], SourceStamp]
_kept: OrderedDict[_Key, TextProfile] = OrderedDict()


def read_profile(source: str, encoding: str | None, check: Check, cleaning: tuple[str, ...] = ()) -> Iterator[TextProfile]:
    """Profiles of more and more of a text, the last one of all of it; that one alone if the text was read before.

    `cleaning` names the rules that the text goes through first; without any it is the text as it lies in its files.

    `check` is called often, may raise to end the work, and asks for a profile by returning True.
    Raises UserError as `open_corpus`, where there is no text or it cannot be read, and for standard input and pipes.
    """
    key = (source, encoding, cleaning, source_stamp(source))
    if key not in _kept:
        if not can_be_read_again(source):
            raise UserError(f"{shown_source(source)} can be read only once; save the text to a file, and choose that.")
        for profile in profile_of(open_corpus(source, encoding, cleaning=cleaning), check, asked=encoding is not None):
            if profile.statistics.is_complete and source_stamp(source) == key[-1]:
                _kept[key] = profile
                while len(_kept) > MOST_KEPT:
                    _kept.popitem(last=False)
            yield profile
        return
    _kept.move_to_end(key)
    yield _kept[key]


def profile_of(corpus: Corpus, check: Check, *, asked: bool = False) -> Iterator[TextProfile]:
    """Profiles of an opened text. `asked` tells whether the user named the encoding.
    Raises UserError where the text cannot be read or decoded."""
    for statistics in stream_statistics(corpus.document_parts, corpus.file_bytes, check):
        decision = encoding_decision(corpus, asked=asked)
        yield TextProfile(
            name=corpus.name,
            source=corpus.source,
            encoding=corpus.encoding,
            decision=f"{decision} so far" if decision == EVERY_BYTE_FITS and not statistics.is_complete else decision,
            left_out=corpus.left_out,
            files=tuple(map(CorpusFile, corpus.file_names, statistics.document_bytes)),
            statistics=statistics,
            entropy_bits_per_byte=corpus.entropy_bits_per_byte,
        )


def encoding_decision(corpus: Corpus, *, asked: bool) -> str:
    """The reason why a text was decoded as it was."""
    if asked:
        return "as you asked" if corpus.opened_documents == 1 else "as you asked, of the files that are not UTF-8"
    if is_builtin(corpus.source):
        return "built in"
    if not is_one_file(corpus.source):
        files = len(corpus.file_names)
        return (
            f"of {whole(files)} files, each by its byte-order mark, else UTF-8"
            if files > 1
            else "by its byte-order mark, else UTF-8"
        )
    try:
        head = read_head(path_of(corpus.source))
    except (OSError, ValueError, RuntimeError) as error:
        raise unreadable(corpus.source, error) from error
    if any(head.startswith(mark) for mark, _ in BYTE_ORDER_MARKS):
        return "its byte-order mark says so"
    return EVERY_BYTE_FITS


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
    Raises UserError where the text cannot be read or decoded."""
    return TextSample(texts_at(corpus.document_parts, corpus.file_bytes, [(start, start + length)], check)[0], start, total)
