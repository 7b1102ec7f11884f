"""A text as BPE learns from it: its words and their counts, and its beginning to look at."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lab.data.text_source import open_corpus
from lab.data.train_val_split import split_text, training_text
from lab.tokenization.word_counts import count_words

EXCERPT_CHARACTERS = 4000
"""Characters of the beginning that are kept to be shown as tokens."""
MEASURING = 0.2
"""Share of the reading that measures the text, before its words are counted."""


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
) -> LearnableText:
    """The part of the text that training uses, from which a run's tokenizer is learned, too.

    It is read in a stream. `report` is called with the share that has been read, and cancels by raising.

    Raises:
        UserError: if the text cannot be read, or has too many different words.
    """
    corpus = open_corpus(source, encoding, on_wait)
    corpus.measure(lambda done, total: report(MEASURING * done / max(1, total)))
    split = split_text(corpus)
    excerpt = _Excerpt(training_text(corpus, split, lambda share: report(MEASURING + (1 - MEASURING) * share)))
    words = count_words(excerpt)
    return LearnableText(f"the training part of {corpus.name}", words, excerpt.text)


def whole_text(name: str, text: str) -> LearnableText:
    """A text that is learned from as a whole. Raises UserError if it has too many different words."""
    # A lone surrogate is no character: a terminal sends one for a byte that is no UTF-8.
    valid = text.encode("utf-8", "replace").decode()
    return LearnableText(name, count_words([valid]), valid[:EXCERPT_CHARACTERS])


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
