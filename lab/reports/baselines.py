"""Losses to measure a run by: what one would lose who knew nothing, only the tokens' frequencies, only the pairs', or the source.

The entropies are those of the counts of the training text itself (Shannon 1951, "Prediction and entropy of printed English"). A
model may lose less than the pairs' on text that it learns by heart, and more on text that it has not seen.
"""

import functools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import count
from lab.core.uniform_baseline import uniform_baseline
from lab.data.token_file import TokenFile, token_dtype
from lab.runs.run_folder import Run
from lab.runs.run_schema import DataConfig

if TYPE_CHECKING:
    from lab.runs.loss_history import LossHistory

MOST_TOKENS = 10_000_000
"""Of a longer text only so many are counted: sorting their pairs takes about a second."""
MOST_COUNTERS = 1 << 22
"""Up to so many possible pairs each has its counter, which is quicker than sorting the pairs that occur."""


STRETCH_BYTES = 200
"""Of a text of 1.5 bits per byte, the next so many bytes are one of 2^300: found twice, they were copied."""
STRETCHES = 50
"""Looked for in the training part, spread evenly over the validation part."""


@dataclass(frozen=True)
class TextEntropy:
    """In nats per token, of the training part."""

    unigram: float
    """H(token): the least that guesses lose which do not look at the text before."""
    bigram: float
    """H(next token | this token): the least that guesses lose which look at one token."""
    validation: "ValidationText | None" = None


@dataclass(frozen=True)
class ValidationText:
    """How the validation part, the end of a text, relates to the training part before it."""

    tokens: int
    unigram: float
    """H(token) of the validation part itself."""
    cross_entropy: float
    """Mean −ln p of its tokens by the training part's frequencies, each counted once more so that none is zero."""
    divergence: float
    """KL divergence of the two, cross_entropy − unigram, less what two samples of one source differ by on average."""
    copied: float | None
    """Share of its stretches of about `STRETCH_BYTES` that are word for word in the training part; None where it has none."""


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
        return None  # no text of this vocabulary: whoever trains on it or looks into it is told
    return replace(text_entropy(ids, vocab_size), validation=validation_text(ids, end, vocab_size, bytes_each))


def validation_text(
    ids: np.ndarray[Any, Any], end: np.ndarray[Any, Any], vocab_size: int, bytes_each: float
) -> ValidationText | None:
    """What the two parts have in common; `bytes_each` is the mean length of a token. None without a validation part."""
    ids, end = ids[-MOST_TOKENS:], end[:MOST_TOKENS]
    if not len(end):
        return None
    size = max(vocab_size, int(ids.max()) + 1, int(end.max()) + 1)
    counts, own = (np.bincount(part, minlength=size) for part in (ids, end))
    cross = -float((own * np.log((counts + 1) / (len(ids) + size))).sum() / len(end))
    unigram = entropy_of_counts(own)
    # Of n draws from k outcomes the expected KL divergence from their source is about (k − 1) / 2n (Miller 1955).
    by_chance = (np.count_nonzero(own) - 1) / (2 * len(end)) + (np.count_nonzero(counts) - 1) / (2 * len(ids))
    return ValidationText(len(end), unigram, cross, float(cross - unigram - by_chance), copied_share(ids, end, bytes_each))


def copied_share(ids: np.ndarray[Any, Any], end: np.ndarray[Any, Any], bytes_each: float) -> float | None:
    """The share of stretches of `end` that occur in `ids` too."""
    length = max(8, round(STRETCH_BYTES / max(bytes_each, 1e-9)))
    if len(end) < length:
        return None
    starts = np.unique(np.linspace(0, len(end) - length, STRETCHES).astype(int))
    text, each = np.ascontiguousarray(ids).tobytes(), ids.itemsize
    return sum(_occurs(end[start : start + length].tobytes(), text, each) for start in starts) / len(starts)


def _occurs(stretch: bytes, text: bytes, each: int) -> bool:
    """Whether it is in the text at a whole token."""
    at = text.find(stretch)
    while at >= 0 and at % each:
        at = text.find(stretch, at + 1)
    return at >= 0


def bytes_per_token(data: DataConfig, history: "LossHistory") -> float:
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


def floors(vocab_size: int, data: DataConfig, history: "LossHistory", entropy: TextEntropy | None) -> tuple[Floor, ...]:
    """Those that are known, from the highest by its nature to the lowest."""
    found = [Floor("by chance: ln V", "chance", uniform_baseline(vocab_size))]
    if entropy is not None:
        part = f" in the first {count(MOST_TOKENS)} tokens" if data.split > MOST_TOKENS else ""
        found.append(Floor(f"its tokens' frequencies{part}", "unigram", entropy.unigram))
        found.append(Floor(f"its pairs'{part}", "bigram", entropy.bigram))
    if data.entropy_bits_per_byte is not None:
        source = data.entropy_bits_per_byte * math.log(2) * bytes_per_token(data, history)
        found.append(Floor("entropy of the source", "source", source))
    return tuple(found)
