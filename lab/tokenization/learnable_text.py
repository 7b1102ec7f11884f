"""A text as BPE learns from it: the words that GPT-2's pattern splits it into and their counts, streamed, and its beginning to
look at. BPE is learned from these counts alone."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from lab.core.errors import UserError
from lab.core.number_format import whole
from lab.data.corpus import STDIN, Corpus, CorpusSize
from lab.data.text_source import open_corpus, sources_of
from lab.data.train_val_split import split_text, training_text
from lab.runs.find_runs import open_run
from lab.runs.run_folder import tokenizer_of
from lab.runs.run_schema import DEFAULT_RULES
from models.tokenizers.tokenizer import PATTERN

if TYPE_CHECKING:
    import regex


MOST_CHARACTERS = 1 << 25
"""Most characters of all different words together. Learning takes about 20 bytes of memory for each byte of them."""

_NEWER = re.compile(
    "["
    "\u0558\u058b-\u058c\u088f\u0c5c\u0cdc\u208f\u209d-\u209f\ua7ce-\ua7cf\ua7d2\ua7d4\ua7dd\ua7e2\ua7f1\uab6c-\uab6d"
    "\U000107bb-\U000107bf\U00010940-\U00010959\U00010ec5-\U00010ec7\U00010ed9-\U00010eee\U00011b0a"
    "\U00011db0-\U00011ddb\U00011de0-\U00011de9\U00011df1\U0001246f\U00012475-\U0001247f\U00012550-\U00012686"
    "\U00016ea0-\U00016eb8\U00016ebb-\U00016ed3\U00016ff2-\U00016ff6\U000187f8-\U000187ff\U00018cd6-\U00018cda"
    "\U00018d09-\U00018d20\U00018d80-\U00018df2\U00018e00-\U00019191\U000191a0-\U000191d2\U0001b123-\U0001b128"
    "\U0001b168\U0001d6a6\U0001df1f-\U0001df24\U0001df2b-\U0001df81\U0001df90-\U0001df96\U0001dfcd-\U0001dfff"
    "\U0001e6c0-\U0001e6de\U0001e6e0-\U0001e6e2\U0001e6e4-\U0001e6e5\U0001e6e7-\U0001e6ed\U0001e6f0-\U0001e6f4"
    "\U0001e6fe-\U0001e6ff\U0002b73a-\U0002b73f\U0002b81e\U0002cea2-\U0002cead\U000323b0-\U00033479"
    "\U0003d000-\U0003fc3f"
    "]"
)
"""Characters that Unicode added after version 16. Python's regex knows them as letters and numbers, rustbpe takes them for other
signs."""
_SIGN = "\u0378"
"""A character that both take for another sign."""

SPLIT_CHARACTERS = 1 << 12
"""Characters after which a text is cut at the next border, so that what is ASCII alone is split by Python's own expressions."""
_BORDER = re.compile(r" (?=\S)")
"""A space with which the pattern begins a word, whatever is before it."""
_ASCII_WORDS = re.compile(r"'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]++| ?[0-9]++| ?[^\sA-Za-z0-9]++|\s++\Z|\s+(?!\S)|\s", re.ASCII)
"""The pattern where all is ASCII, which takes half of the time."""
COUNTED_WORDS = 1 << 13
"""Words counted at a time: a millisecond or two, for which no other thread runs."""


@cache
def _compiled(pattern: str) -> "regex.Pattern[str]":
    import regex

    return regex.compile(pattern)


def words_of(text: str) -> list[str]:
    """The words of a text, in order; joined they are the text. Lets other threads run meanwhile."""
    words: list[str] = []
    at = 0
    while at < len(text):
        border = _BORDER.search(text, at + SPLIT_CHARACTERS)
        part = text[at : border.start() if border else len(text)]
        known = _as_rustbpe_knows(part)
        if part.isascii():
            words += _ASCII_WORDS.findall(part)
        elif known is part:
            words += _compiled(PATTERN).findall(part, concurrent=True)
        else:
            words += (part[match.start() : match.end()] for match in _compiled(PATTERN).finditer(known))
        at += len(part)
    return words


def _as_rustbpe_knows(text: str) -> str:
    """The text with a sign in place of each character that is newer than rustbpe's Unicode."""
    return _NEWER.sub(_SIGN, text) if not text.isascii() and _NEWER.search(text) else text


def count_words(texts: Iterable[str], most: int = MOST_CHARACTERS) -> dict[str, int]:
    """Number of times that each word occurs in `texts`, which are split one by one. Memory grows with the different words alone.
    Raises UserError if the different words have more than `most` characters together."""
    counts: Counter[str] = Counter()
    known = size = 0
    for text in texts:
        words = words_of(text)
        for start in range(0, len(words), COUNTED_WORDS):
            counts.update(words[start : start + COUNTED_WORDS])
        if len(counts) > known:
            # A dict keeps the order of insertion, so the new words are the last ones.
            size += sum(map(len, islice(reversed(counts), len(counts) - known)))
            known = len(counts)
        if size > most:
            raise UserError(
                f"The text has too many different words to learn from: {whole(known)} of them have {whole(size)} characters, "
                f"and {whole(most)} are the most; choose a shorter text, or one with spaces between words."
            )
    return counts


EXCERPT_CHARACTERS = 4000
"""Characters of the beginning that are kept to be shown as tokens."""
MEASURING = 0.2
"""Share of the reading that measures the text, before its words are counted."""

_SURROGATE = re.compile("[\ud800-\udfff]")
"""No character by itself: a terminal sends one for a byte that is no UTF-8."""


@dataclass(frozen=True, eq=False)
class LearnableText:
    """The words of a text and how often each occurs."""

    name: str
    """Name of the text for people: `the training part of moby-dick`."""
    words: dict[str, int]
    excerpt: str


def read_training_part(
    source: str,
    encoding: str | None = None,
    report: Callable[[float], None] = lambda _: None,
    on_wait: Callable[[], None] | None = None,
    cleaning: Iterable[str] = DEFAULT_RULES,
) -> LearnableText:
    """The part of the text that training uses, from which a run's tokenizer is learned, too.

    It is read in a stream. `report` is called with the share that has been read, and cancels by raising.
    Raises UserError if the text cannot be read, or has too many different words.
    """
    corpus = open_corpus(source, encoding, on_wait, cleaning)
    _measured(corpus, report)
    return _training_part(corpus, report)


def read_run_text(name: str, report: Callable[[float], None] = lambda _: None) -> tuple[LearnableText, tuple[bytes, ...]]:
    """The training part of a run's text, and the vocabulary that the run learned from it; empty for another kind of tokenizer.
    Raises UserError if there is no such run, or its text is gone or is not what it was."""
    run = open_run(name)
    data = run.config.data
    if not run.config.has_text:
        raise UserError(f"{run.name} was imported, and its training text is not here; choose another text.")
    if STDIN in sources_of(data.source):
        raise UserError(f"{run.name} was trained on standard input, which cannot be read again; choose another text.")
    corpus = open_corpus(data.source, data.encoding, cleaning=data.cleaning, holdout=data.holdout)
    if _measured(corpus, report).sha256 != data.sha256:
        raise UserError(f"{data.source} has changed since {run.name} was made from it; choose another text.")
    learned = tokenizer_of(run) if run.config.tokenizer.kind == "bpe" else None
    return _training_part(corpus, report), tuple(map(learned.token_bytes, learned.ordinary)) if learned else ()


def whole_text(name: str, text: str) -> LearnableText:
    """A text that is learned from as a whole. Raises UserError if it has too many different words."""
    valid = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
    return LearnableText(name, count_words([valid]), valid[:EXCERPT_CHARACTERS])


def _measured(corpus: Corpus, report: Callable[[float], None]) -> CorpusSize:
    return corpus.measure(lambda done, total: report(MEASURING * done / max(1, total)))


def _training_part(corpus: Corpus, report: Callable[[float], None]) -> LearnableText:
    excerpt = ""

    def texts() -> Iterator[str]:
        nonlocal excerpt
        for text in training_text(corpus, split_text(corpus), lambda share: report(MEASURING + (1 - MEASURING) * share)):
            excerpt += text[: EXCERPT_CHARACTERS - len(excerpt)]
            yield text

    cleaned = ", cleaned" if corpus.cleaning != DEFAULT_RULES else ""
    words = count_words(texts())
    return LearnableText(f"the training part of {corpus.name}{cleaned}", words, excerpt)
