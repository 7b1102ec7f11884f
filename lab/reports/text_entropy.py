"""Unigram and bigram entropy of a run's training text, in nats per token.

Entropies of the counts of the text itself (Shannon 1951, "Prediction and entropy of printed English"). A model may lose less than
the bigram entropy on text that it has memorized, and more on text that it has not seen.
"""

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lab.core.errors import UserError
from lab.data.token_file import TokenFile, token_dtype
from lab.reports.count_entropy import MOST_TOKENS, entropy_of_counts
from lab.reports.validation_text import ValidationText, validation_text
from lab.runs.run_folder import Run

MOST_COUNTERS = 1 << 22
"""Up to so many possible pairs each has its counter, which is quicker than sorting the pairs that occur."""


@dataclass(frozen=True)
class TextEntropy:
    """Entropies of the training part, in nats per token."""

    unigram: float
    """H(token): the lowest loss of predictions from no context."""
    bigram: float
    """H(next token | this token): the lowest loss of predictions from one token of context."""
    validation: ValidationText | None = None


def text_entropy(ids: np.ndarray[Any, Any], vocab_size: int) -> TextEntropy:
    """Unigram and bigram entropy of a text of at least two tokens: H(next | this) = H(this, next) - H(this)."""
    ids = ids[:MOST_TOKENS]
    counts = np.bincount(ids, minlength=vocab_size)
    this, following = ids[:-1].astype(np.int64), ids[1:]
    pairs = this * vocab_size + following
    pair_counts = np.bincount(pairs) if vocab_size**2 <= MOST_COUNTERS else np.unique(pairs, return_counts=True)[1]
    bigram = entropy_of_counts(pair_counts) - entropy_of_counts(np.bincount(this, minlength=vocab_size))
    return TextEntropy(entropy_of_counts(counts), max(0.0, bigram))


def run_entropy(run: Run) -> TextEntropy | None:
    """Entropy of the run's own training text, measured once; None where its tokens are missing, as in the demo."""
    data, vocab_size = run.config.data, run.config.tokenizer.vocab_size
    try:
        changed = run.tokens_path.lstat().st_mtime_ns
    except OSError:
        return None
    bytes_each = data.bytes / max(1, data.tokens)
    return _measured(str(run.tokens_path), changed, data.split, vocab_size, bytes_each)


@functools.lru_cache(maxsize=32)
def _measured(path: str, changed: int, split: int, vocab_size: int, bytes_each: float) -> TextEntropy | None:
    try:
        tokens = TokenFile(path, token_dtype(vocab_size))
    except UserError:
        return None
    ids, end = tokens[:split], tokens[split:]
    counted = (ids[:MOST_TOKENS], ids[-MOST_TOKENS:], end[:MOST_TOKENS])
    if len(ids) < 2 or any(len(part) and int(part.max()) >= vocab_size for part in counted):
        return None  # not a text of this vocabulary; training and Inspect report it
    return replace(text_entropy(ids, vocab_size), validation=validation_text(ids, end, vocab_size, bytes_each))
