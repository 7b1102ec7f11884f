"""A text as BPE learns from it: its words and their counts, and its beginning to look at."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lab.core.errors import UserError
from lab.data.corpus import STDIN, Corpus, CorpusSize
from lab.data.text_source import open_corpus, sources_of
from lab.data.train_val_split import split_text, training_text
from lab.runs.find_runs import open_run
from lab.runs.run_folder import tokenizer_of
from lab.runs.run_schema import DEFAULT_RULES
from lab.tokenization.bpe.pattern_words import count_words

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

    @property
    def word_count(self) -> int:
        """All words, each as often as it occurs."""
        return sum(self.words.values())


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
        raise UserError(f"{run.name} was imported, and its training text is not here; choose another text (f).")
    if STDIN in sources_of(data.source):
        raise UserError(f"{run.name} was trained on standard input, which cannot be read again; choose another text (f).")
    corpus = open_corpus(data.source, data.encoding, cleaning=data.cleaning, holdout=data.holdout)
    if _measured(corpus, report).sha256 != data.sha256:
        raise UserError(f"{data.source} has changed since {run.name} was made from it; choose another text (f).")
    learned = tokenizer_of(run) if run.config.tokenizer.kind == "bpe" else None
    return _training_part(corpus, report), tuple(map(learned.token_bytes, learned.ordinary)) if learned else ()


def whole_text(name: str, text: str) -> LearnableText:
    """A text that is learned from as a whole. Raises UserError if it has too many different words."""
    valid = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
    return LearnableText(name, count_words([valid]), valid[:EXCERPT_CHARACTERS])


def _measured(corpus: Corpus, report: Callable[[float], None]) -> CorpusSize:
    return corpus.measure(lambda done, total: report(MEASURING * done / max(1, total)))


def _training_part(corpus: Corpus, report: Callable[[float], None]) -> LearnableText:
    text = training_text(corpus, split_text(corpus), lambda share: report(MEASURING + (1 - MEASURING) * share))
    excerpt = _Excerpt(text)
    cleaned = ", cleaned" if corpus.cleaning != DEFAULT_RULES else ""
    return LearnableText(f"the training part of {corpus.name}{cleaned}", count_words(excerpt), excerpt.text)


class _Excerpt:
    """Keeps the beginning of what passes through."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self.text = ""

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            if len(self.text) < EXCERPT_CHARACTERS:
                self.text = (self.text + text)[:EXCERPT_CHARACTERS]
            yield text
