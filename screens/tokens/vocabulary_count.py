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


class StoppedError(Exception):
    """Error: the count is not wanted any more."""


@dataclass
class Indexed(Message):
    """The tokens are there, without counts."""

    named: NamedTokenizer
    facts: VocabularyFacts


@dataclass
class Counting(Message):
    """So much has been counted: bytes of text, or tokens of a total."""

    done: int
    total: int


@dataclass
class Counted(Message):
    """The tokens have been counted; `problem` is the sentence why not."""

    named: NamedTokenizer
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

    def progress(done: int, total: int) -> None:
        nonlocal told
        if is_cancelled():
            raise StoppedError
        if time.monotonic() - told > SECONDS_BETWEEN_NEWS:
            told = time.monotonic()
            post(Counting(done, total))

    index = VocabularyIndex(named.tokenizer)
    facts = VocabularyFacts(index)
    post(Indexed(named, facts))
    try:
        index.prepare()
        found, problem = vocabulary_facts(index, named, run, source, encoding, cleaning, progress), ""
    except StoppedError:
        return
    except UserError as error:
        found, problem = facts, str(error)
    if not is_cancelled():
        post(Counted(named, found, problem))
