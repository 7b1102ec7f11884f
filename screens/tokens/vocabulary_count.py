"""Count the tokens of a vocabulary in a thread, and the messages that tell of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from lab.tokenization.named_tokenizer import NamedTokenizer
    from lab.tokenization.vocabulary_facts import VocabularyFacts

SECONDS_BETWEEN_NEWS = 0.2


Asked = tuple["NamedTokenizer", str, str, str, tuple[str, ...]]
"""Tokenizer, run, text, encoding and cleaning of a count."""


class StoppedError(Exception):
    """Error: the count is not wanted any more."""


@dataclass
class Indexed(Message):
    """The tokens are there, without counts."""

    asked: Asked
    facts: VocabularyFacts


@dataclass
class Counting(Message):
    """So much has been counted: bytes of text, or tokens of a total."""

    asked: Asked
    done: int
    total: int


@dataclass
class Counted(Message):
    """The tokens have been counted; `problem` is the sentence why not."""

    asked: Asked
    facts: VocabularyFacts
    problem: str


def count_vocabulary(
    post: Callable[[Message], object],
    is_cancelled: Callable[[], bool],
    named: NamedTokenizer,
    run: str,
    source: str,
    encoding: str,
    cleaning: tuple[str, ...],
) -> None:
    """Post the tokens of this tokenizer at once, news of the count, and the counts; nothing more once it is cancelled."""
    from lab.core.errors import UserError
    from lab.tokenization.vocabulary_facts import VocabularyFacts, vocabulary_facts
    from lab.tokenization.vocabulary_index import VocabularyIndex

    told = time.monotonic()
    asked: Asked = (named, run, source, encoding, cleaning)

    def progress(done: int, total: int) -> None:
        nonlocal told
        if is_cancelled():
            raise StoppedError
        if time.monotonic() - told > SECONDS_BETWEEN_NEWS:
            told = time.monotonic()
            post(Counting(asked, done, total))

    index = VocabularyIndex(named.tokenizer)
    facts = VocabularyFacts(index)
    post(Indexed(asked, facts))
    try:
        index.prepare()
        found, problem = vocabulary_facts(index, named, run, source, encoding, cleaning, progress), ""
    except StoppedError:
        return
    except UserError as error:
        found, problem = facts, str(error)
    if not is_cancelled():
        post(Counted(asked, found, problem))
