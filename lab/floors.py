"""Losses to measure a run by: what one would lose who knew nothing, only the tokens' frequencies, only the pairs', or the source.

The entropies are those of the counts of the training text itself (Shannon 1951, "Prediction and entropy of printed English"). A
model may lose less than the pairs' on text that it learns by heart, and more on text that it has not seen.
"""

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.dataset import Tokens, token_dtype
from lab.errors import UserError
from lab.numbers import count
from lab.reading import chance
from lab.run_config import DataConfig
from lab.run_folder import Run

if TYPE_CHECKING:
    from lab.curves import History

MOST_TOKENS = 10_000_000
"""Of a longer text only so many are counted: sorting their pairs takes about a second."""
MOST_COUNTERS = 1 << 22
"""Up to so many possible pairs each has its counter, which is quicker than sorting the pairs that occur."""


@dataclass(frozen=True)
class TextEntropy:
    """In nats per token, of the training part."""

    unigram: float
    """H(token): the least that guesses lose which do not look at the text before."""
    bigram: float
    """H(next token | this token): the least that guesses lose which look at one token."""


def entropy_of_counts(counts: np.ndarray[Any, Any]) -> float:
    """-Σ p ln p in nats of the relative frequencies p; zeros count nothing."""
    positive = counts[counts > 0].astype(np.float64)
    total = positive.sum()
    return float(math.log(total) - (positive * np.log(positive)).sum() / total) if total else 0.0


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
    """That of the run's own training text, measured once; None where its tokens are not there, as with the demo."""
    data, vocab_size = run.config.data, run.config.tokenizer.vocab_size
    if not run.tokens_path.is_file() or data.split < 2:
        return None
    return _measured(str(run.tokens_path), run.tokens_path.stat().st_mtime_ns, data.split, vocab_size)


@functools.lru_cache(maxsize=32)
def _measured(path: str, changed: int, split: int, vocab_size: int) -> TextEntropy | None:
    try:
        ids = Tokens(path, token_dtype(vocab_size))[:split]
    except UserError:
        return None
    return text_entropy(ids, vocab_size) if len(ids) > 1 else None


def bytes_per_token(data: DataConfig, history: "History") -> float:
    """Of the validation text: exactly of the tokens that the evaluations are made on, once there is one."""
    last = history.last_evaluation
    if last is not None and last.val_loss and last.bits_per_byte:
        return last.val_loss / math.log(2) / last.bits_per_byte
    return data.val_bytes / max(1, data.tokens - data.split)


@dataclass(frozen=True)
class Floor:
    """One of these losses, in nats per token, with its words in a legend, long and short."""

    name: str
    short: str
    loss: float


def floors(vocab_size: int, data: DataConfig, history: "History", entropy: TextEntropy | None) -> tuple[Floor, ...]:
    """Those that are known, from the highest by its nature to the lowest."""
    found = [Floor("by chance: ln V", "chance", chance(vocab_size))]
    if entropy is not None:
        part = f" in the first {count(MOST_TOKENS)} tokens" if data.split > MOST_TOKENS else ""
        found.append(Floor(f"its tokens' frequencies{part}", "unigram", entropy.unigram))
        found.append(Floor(f"its pairs'{part}", "bigram", entropy.bigram))
    if data.entropy_bits_per_byte is not None:
        source = data.entropy_bits_per_byte * math.log(2) * bytes_per_token(data, history)
        found.append(Floor("entropy of the source", "source", source))
    return tuple(found)
