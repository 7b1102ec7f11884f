"""Token frequencies: the number of times that each token of a vocabulary occurs in a run's training part, or in a text.

They are counted in a stream and kept in memory, by run or text and by tokenizer.
"""

import os
import threading
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.core.errors import UserError
from lab.data.corpus import Corpus
from lab.data.token_file import Ids, TokenFile, token_dtype
from lab.runs.run_folder import Run

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

COUNTED_TOKENS = 1 << 20
"""Tokens counted at a time: numpy makes each of them eight bytes."""
MOST_KEPT = 16
"""Counts that are kept; those of GPT-2's vocabulary take 400 kB."""

CountProgress = Callable[[int, int], None]
"""Called with how much is counted and the total, in the same unit, the total 0 where it is unknown; raises to stop."""

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
        """Tokens of the corpus."""
        return int(self.counts.sum())

    @property
    def never_used(self) -> int:
        """Tokens of the vocabulary that the corpus does not hold."""
        return int((self.counts == 0).sum())

    def rank(self, id: int) -> int:
        """Place of a token by frequency, 1 for the most frequent; of two as frequent the lower id comes first."""
        count = self.counts[id]
        return int((self.counts > count).sum() + (self.counts[:id] == count).sum()) + 1


def frequencies_in_run(run: Run, progress: CountProgress | None = None) -> TokenFrequencies:
    """Frequency of each token in the training part of a run's tokens, which the model has seen; the second time at once.

    Raises:
        UserError: if tokens.bin is missing or damaged.
    """
    config = run.config
    vocab_size, split = config.model.vocab_size, config.data.split
    tokens = TokenFile(run.tokens_path, token_dtype(vocab_size))
    if split > len(tokens):
        raise UserError(f"{run.tokens_path} is damaged: it has {len(tokens):,} tokens, and {split:,} of them are trained on.")

    def count() -> TokenFrequencies:
        parts = (tokens.ids[at : min(at + COUNTED_TOKENS, split)] for at in range(0, split, COUNTED_TOKENS))
        try:
            counts = count_ids(parts, vocab_size, split, progress)
        except UserError as error:
            raise UserError(f"{run.tokens_path} is damaged: {error}") from error
        return TokenFrequencies(counts, f"the training part of {run.name}")

    return _known(("run", str(run.tokens_path), _stamp(run.tokens_path), vocab_size, split), count)


def frequencies_in_text(
    corpus: Corpus, tokenizer: "Tokenizer", progress: CountProgress | None = None, *, special: bool = False
) -> TokenFrequencies:
    """Frequency of each token in a text as this tokenizer encodes it. `progress` counts bytes of text.

    Raises:
        UserError: where the text cannot be read or decoded.
    """
    counts = np.zeros(tokenizer.vocab_size, np.int64)
    done = 0
    for chunk in corpus.chunks():
        counts += np.bincount(np.array(tokenizer.encode(chunk, special=special), np.int64), minlength=tokenizer.vocab_size)
        if progress:
            done += len(chunk.encode("utf-8", "replace"))
            progress(done, 0)
    return TokenFrequencies(counts, corpus.name)


def count_ids(parts: Iterable[Any], vocab_size: int, total: int = 0, progress: CountProgress | None = None) -> Ids:
    """Number of times that each id below `vocab_size` occurs in the arrays: (vocab_size,).

    Raises:
        UserError: if an id is not below it.
    """
    counts = np.zeros(vocab_size, np.int64)
    done = 0
    for part in parts:
        if len(part) and (largest := int(part.max())) >= vocab_size:
            raise UserError(f"it holds the token {largest:,}, and the vocabulary has {vocab_size:,}.")
        counts += np.bincount(part, minlength=vocab_size)
        done += len(part)
        if progress:
            progress(done, total)
    return counts


def _stamp(path: str | os.PathLike[str]) -> tuple[int, int, int]:
    """The file's identity, size and time of the last change."""
    facts = os.stat(path)
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


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
