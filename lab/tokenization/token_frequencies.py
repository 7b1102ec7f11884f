"""Token frequencies in a run's training part, or in a text: how often each token of a vocabulary occurs.

They are counted in a stream and kept in memory, by run or text and by tokenizer. The corpus is that of the tokenizer's run, else
the text in use, else the run's text.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lab.core.child_process import Progress
from lab.core.errors import UserError
from lab.data.corpus import STDIN, Corpus
from lab.data.text_source import open_corpus, sources_of
from lab.data.token_file import Ids, TokenFile, token_dtype
from lab.runs.find_runs import open_run
from lab.runs.run_folder import Run, file_stamp
from lab.runs.run_schema import DEFAULT_RULES
from lab.tokenization.named_tokenizer import NamedTokenizer

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer


COUNTED_TOKENS = 1 << 20
"""Tokens counted at a time: numpy makes each of them eight bytes."""
MOST_KEPT = 16
"""Counts that are kept; those of GPT-2's vocabulary take 400 kB."""


_kept: dict[Hashable, "TokenFrequencies"] = {}
_keeping = threading.Lock()


@dataclass(frozen=True, eq=False)
class TokenFrequencies:
    """Number of times that each token occurs in a corpus, which `corpus` names in words: `the training part of demo`."""

    counts: Ids
    """(vocab_size,)"""
    corpus: str

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    @property
    def never_used(self) -> int:
        """Tokens of the vocabulary that the corpus does not hold."""
        return int((self.counts == 0).sum())

    def rank(self, id: int) -> int:
        """Place of a token by frequency, 1 for the most frequent; of two as frequent the lower id comes first."""
        count = self.counts[id]
        return int((self.counts > count).sum() + (self.counts[:id] == count).sum()) + 1


def frequencies_in_run(run: Run, progress: Progress | None = None) -> TokenFrequencies:
    """Frequency of each token in the training part of a run's tokens, which the model has seen; the second time at once.
    Raises UserError if tokens.bin is missing or damaged."""
    config = run.config
    vocab_size, split = config.model.vocab_size, config.data.split
    tokens = TokenFile(run.tokens_path, token_dtype(vocab_size))
    if split > len(tokens):
        raise UserError(f"{run.tokens_path} is damaged: it has {len(tokens):,} tokens, and {split:,} of them are trained on.")

    def count() -> TokenFrequencies:
        counts = np.zeros(vocab_size, np.int64)
        for at in range(0, split, COUNTED_TOKENS):
            part = tokens.ids[at : min(at + COUNTED_TOKENS, split)]
            if (largest := int(part.max())) >= vocab_size:
                what = f"it holds the token {largest:,}, and the vocabulary has {vocab_size:,}."
                raise UserError(f"{run.tokens_path} is damaged: {what}")
            counts += np.bincount(part, minlength=vocab_size)
            if progress:
                progress(at + len(part), split)
        return TokenFrequencies(counts, f"the training part of {run.name}")

    return _known(("run", str(run.tokens_path), file_stamp(run.tokens_path), vocab_size, split), count)


def frequencies_in_text(corpus: Corpus, tokenizer: "Tokenizer", progress: Progress | None = None) -> TokenFrequencies:
    """Frequency of each token in a text as this tokenizer encodes it, with an end-of-text token between documents where it has
    one; of a text in files that have not changed, the second time at once. `progress` counts bytes of text.
    Raises UserError where the text cannot be read or decoded."""

    def count() -> TokenFrequencies:
        counts = np.zeros(tokenizer.vocab_size, np.int64)
        done = documents = 0
        for chunk in corpus.document_chunks():
            documents += chunk.starts
            counts += np.bincount(tokenizer.encode_array(chunk.text), minlength=tokenizer.vocab_size)
            if progress:
                done += len(chunk.text.encode())
                progress(done, 0)
        if tokenizer.end_of_text is not None and documents:
            counts[tokenizer.end_of_text] += documents - 1
        return TokenFrequencies(counts, corpus.name + (", cleaned" if corpus.cleaning != DEFAULT_RULES else ""))

    if corpus.inputs is None:
        return count()
    stamps = tuple(file_stamp(os.path.realpath(path)) for path in corpus.paths)
    return _known(("text", corpus.source, corpus.encoding, corpus.cleaning, stamps, _identity(tokenizer)), count)


def _identity(tokenizer: "Tokenizer") -> Hashable:
    """Two tokenizers with the same one encode alike."""
    tokens = b"".join(len(token).to_bytes(4) + token for token in map(tokenizer.token_bytes, range(tokenizer.vocab_size)))
    return tuple(tokenizer.special.items()), hashlib.sha256(tokens).digest()


def _known(key: Hashable, count: Callable[[], TokenFrequencies]) -> TokenFrequencies:
    with _keeping:
        found = _kept.pop(key, None)
        if found is not None:
            _kept[key] = found
            return found
    found = count()
    with _keeping:
        _kept[key] = found
        while len(_kept) > MOST_KEPT:
            del _kept[next(iter(_kept))]
    return found


def counted_corpus(named: NamedTokenizer, run_name: str, source: str, encoding: str, cleaning: tuple[str, ...]) -> Run | Corpus:
    """The run whose training part is counted: the tokenizer's, or the one called `run_name` where that has the same fixed
    vocabulary and no text is chosen; else the text that `source` names as `cleaning` leaves it, or where it is empty that run's.
    Raises UserError where run or text cannot be read."""
    if named.source == "run":
        return _with_text(open_run(named.run))
    if not source:
        run = _with_text(open_run(run_name))
        if run.config.tokenizer.kind == named.source:
            return run
        data = run.config.data
        source, encoding, cleaning = data.source, data.encoding, data.cleaning
    if STDIN in sources_of(source):
        raise UserError("The text came from standard input, which can be read only once; choose a text in Data to count tokens.")
    return open_corpus(source, encoding or None, cleaning=cleaning)


def _with_text(run: Run) -> Run:
    """The run, if it has a text. Raises: UserError."""
    if not run.config.has_text:
        raise UserError(f"{run.name} was imported, and its training text is not here; choose a text in Data to count tokens.")
    return run


def frequencies_in(corpus: Run | Corpus, tokenizer: "Tokenizer", progress: Progress | None = None) -> TokenFrequencies:
    """Frequencies of the tokenizer's tokens in what `counted_corpus` gives. Raises UserError where it cannot be read."""
    if isinstance(corpus, Corpus):
        return frequencies_in_text(corpus, tokenizer, progress)
    found = frequencies_in_run(corpus, progress)
    # A run's vocabulary may have an end-of-text token more.
    return replace(found, counts=found.counts[: tokenizer.vocab_size])
