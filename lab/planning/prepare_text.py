"""Prepare a text for training: its size and split, its tokenizer, its tokens; each from the cache where it is known already."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec

from lab.core.errors import UserError
from lab.data.cleaning.funnel_meter import nothing_left
from lab.data.corpus import Corpus
from lab.data.statistics.copied_share import copied_in_tokens
from lab.data.token_file import TokenFileFacts, tokenize_corpus
from lab.data.train_val_split import Split, TextChangedError, split_text, training_text
from lab.planning.learn_vocabulary import learn_in_process
from lab.planning.preparation_cache import KeptText, PreparationCache, key_of
from lab.planning.text_stamp import text_stamp
from models.config import TokenizerError, TokenizerKind
from models.tokenizers.tokenizer import Tokenizer

LEARNED_HERE = 1 << 18
"""Bytes of text up to which bpe learns in this process: it takes less time than starting another."""
COUNTING = 0.85
"""Share of the time of learning that goes into reading the text and counting its words; the rest into merges."""


def train_tokenizer(
    kind: TokenizerKind, vocab_size: int, corpus: Corpus, split: Split, report: Callable[[float], None]
) -> Tokenizer:
    """The tokenizer of this kind, with an end-of-text token where there are several documents.

    `report` is called with the share of the learning that is done, and cancels by raising.
    Raises UserError if GPT-2's vocabulary cannot be found, learning fails, or (TextChangedError) the text has changed.
    """
    end_of_text = corpus.has_end_of_text
    try:
        if kind == "bytes":
            return Tokenizer.bytes_(end_of_text=end_of_text)
        if kind == "gpt2":
            return Tokenizer.gpt2()
        text = training_text(corpus, split, lambda share: report(COUNTING * share))
        if split.split <= LEARNED_HERE:
            return Tokenizer.train(text, vocab_size, end_of_text=end_of_text)
        return learn_in_process(
            text, vocab_size, lambda share: report(COUNTING + (1 - COUNTING) * share), end_of_text=end_of_text
        )
    except UnicodeDecodeError as error:
        raise TextChangedError(corpus.source) from error
    except TokenizerError as error:
        raise UserError(str(error)) from error


MEASURING = 0.5
"""Share of the time of reading that goes into measuring the text; the rest into its split."""

Progress = Callable[["PrepareProgress"], None]
Stage = Literal["reading", "learning", "encoding", "timing"]


class PrepareProgress(msgspec.Struct, frozen=True):
    """Progress of the preparation: reading the text, learning the vocabulary (bpe only), encoding the text, timing a step (only
    where the machine decides the number of steps)."""

    stage: Stage
    words: str
    """The stage for people: `learning a vocabulary of 1,024`."""
    fraction: float
    """Done share of this stage, 0 to 1."""


@dataclass(frozen=True)
class TextPreparation:
    """One preparation of a text. `cache` is where results are kept and found; `progress` cancels by raising."""

    corpus: Corpus
    cache: PreparationCache
    progress: Progress
    least: int
    """Bytes of text from which on results are kept."""

    def read(self) -> Split:
        """Measure and split the text, unless that was done and its files are unchanged. Raises what `Corpus.measure` does."""
        corpus = self.corpus
        words = f"reading {corpus.name}"
        home = self.cache.folder.parent
        corpus.read_once_if_costly(home if home.is_dir() else Path(tempfile.gettempdir()))
        started, stamp = time.time(), text_stamp(corpus)
        key = key_of("text", stamp.key) if stamp else ""
        other = corpus.validation
        if stamp and (kept := self.cache.read("text", key, msgspec.json.Decoder(KeptText).decode)):
            corpus.remember(kept.size)
            if other is not None and kept.validation is not None:
                other.remember(kept.validation)
            self.progress(PrepareProgress("reading", words, 1.0))
            return kept.split

        def report(before: float, share: float, done: int, total: int) -> None:
            self.progress(PrepareProgress("reading", words, before + share * done / max(total, 1)))

        size = corpus.measure(lambda done, total: report(0.0, MEASURING, done, total))
        for each in (size, *([other.measure()] if other is not None else [])):
            if problem := nothing_left(each.funnel, each.bytes):
                raise UserError(problem)
        split = split_text(corpus, lambda done, total: report(MEASURING, 1 - MEASURING, done, total))
        if stamp and size.bytes >= self.least and stamp.settled(started) and text_stamp(corpus) == stamp:
            kept = KeptText(size, split, other.measure() if other is not None else None)
            self.cache.keep("text", key, msgspec.json.encode(kept))
        return split

    def tokenizer(self, kind: TokenizerKind, vocab_size: int, split: Split) -> Tokenizer:
        """Learn the vocabulary, unless that was done for this text. Raises what `train_tokenizer` does."""
        words = f"learning a vocabulary of {vocab_size:,}"

        def report(share: float) -> None:
            self.progress(PrepareProgress("learning", words, share))

        if kind != "bpe":
            return train_tokenizer(kind, vocab_size, self.corpus, split, report)
        what = self.corpus.sha256, split.split, split.held, self.corpus.has_end_of_text
        key = key_of("vocabulary", what, vocab_size, version("rustbpe"))
        if kept := self.cache.read("vocabulary", key, lambda raw: Tokenizer.loads(raw, "the kept vocabulary")):
            report(1.0)
            return kept
        with self._forgotten_if_changed():
            learned = train_tokenizer(kind, vocab_size, self.corpus, split, report)
        if self.corpus.bytes >= self.least:
            self.cache.keep("vocabulary", key, learned.dumps().encode())
        return learned

    def tokens(self, split: Split, tokenizer: Tokenizer, path: Path) -> TokenFileFacts:
        """Write the text's tokens to `path`, or copy them from the cache. Raises what `tokenize_corpus` does."""
        other = self.corpus.validation
        what = self.corpus.sha256, other.sha256 if other is not None else "", split
        key = key_of("tokens", what, tokenizer.checksum, version("tiktoken"))

        def report(share: float, words: str = "encoding the text") -> None:
            self.progress(PrepareProgress("encoding", words, share))

        kept = self.cache.tokens(key, path, tokenizer.vocab_size, lambda share: report(share, "copying the tokens made before"))
        if kept:
            return kept
        with self._forgotten_if_changed():
            written = tokenize_corpus(self.corpus, split, tokenizer, path, lambda done, total: report(done / total))
        sampled = written.final.bytes / max(1, written.val_bytes)
        words = "looking for validation text in the training text"
        copied = copied_in_tokens(
            path, tokenizer, written.split, written.final.tokens, sampled, lambda share: report(share, words)
        )
        report(1.0, words)
        written = replace(written, copied=copied)
        if self.corpus.bytes >= self.least:
            self.cache.keep_tokens(key, path, written, lambda share: report(share, "keeping the tokens for the next run"))
        return written

    @contextmanager
    def _forgotten_if_changed(self) -> Iterator[None]:
        """Have the text read anew the next time if it is another than its stamp says, as on a file system that lies."""
        try:
            yield
        except TextChangedError:
            if stamp := text_stamp(self.corpus):
                self.cache.remove("text", key_of("text", stamp.key))
            raise
