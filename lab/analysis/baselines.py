"""Baseline losses: uniform, unigram and bigram on the validation text, and the source's entropy; in nats per token.

Entropies of the counts of the text itself (Shannon 1951, "Prediction and entropy of printed English").
"""

import functools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import count, fixed
from lab.data.statistics.copied_share import copied_in_tokens
from lab.data.token_file import TokenFile, token_dtype
from lab.data.train_val_split import FINAL_SEGMENTS, Ranges, spread
from lab.runs.run_folder import Run, tokenizer_of
from lab.runs.run_schema import DataConfig, FinalEvaluation
from lab.runs.schema_parts import CopiedShare
from models.config import TokenizerError, uniform_baseline

if TYPE_CHECKING:
    from lab.runs.run_history import LossHistory


MOST_TOKENS = 10_000_000
"""Of a longer text only so many are counted: sorting their pairs takes about a second."""
MOST_PAIRS = 1_000_000
"""Pairs of the validation part whose loss is measured: looking one up in a long text takes about a microsecond."""
CONTROLS = 9
"""Most blocks of the training part that are held beside the validation part."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class BigramCounts:
    """Counts of a text of at least two tokens."""

    vocab_size: int
    tokens: Array
    """Of each token (V)."""
    first: Array
    """Of each token as the first of a pair (V): `tokens` without the text's last."""
    pairs: Array
    """The pairs that occur, each as first × V + second, ascending."""
    pair_counts: Array
    """Of each of `pairs`."""

    @classmethod
    def of(cls, ids: Array, vocab_size: int) -> Self:
        """Count; each id is below `vocab_size`."""
        first = ids[:-1].astype(np.int64)
        found, counts = np.unique(first * vocab_size + ids[1:], return_counts=True)
        tokens, firsts = (np.bincount(part, minlength=vocab_size) for part in (ids, first))
        return cls(vocab_size, tokens, firsts, found, counts)

    def unigram_losses(self) -> Array:
        """−ln p of each token (V), in nats; every count is raised by one, so that p > 0."""
        return np.asarray(-np.log((self.tokens + 1) / (self.tokens.sum() + self.vocab_size)))

    def bigram_losses(self, ids: Array) -> Array:
        """−ln p(next | this) of each token of another text but its first, in nats.

        A pair that the counted text lacks has a probability, too: p = (c(this, next) + T(this) p(next)) / (c(this) + T(this)),
        where T(this) is the number of different tokens after this one (Witten and Bell 1991), and p(next) as in
        `unigram_losses`. After a token that the counted text lacks it is p(next).
        """
        this, following = ids[:-1].astype(np.int64), ids[1:]
        pairs = this * self.vocab_size + following
        at = np.minimum(np.searchsorted(self.pairs, pairs), len(self.pairs) - 1)
        together = np.where(self.pairs[at] == pairs, self.pair_counts[at], 0)
        kinds = np.bincount(self.pairs // self.vocab_size, minlength=self.vocab_size)[this]
        unigram, seen = np.exp(-self.unigram_losses())[following], self.first[this] + kinds
        return -np.log(np.where(seen > 0, (together + kinds * unigram) / np.maximum(seen, 1), unigram))


def entropy_of_counts(counts: Array) -> float:
    """-Σ p ln p in nats of the relative frequencies p; zeros count nothing."""
    positive = counts[counts > 0].astype(np.float64)
    total = positive.sum()
    return float(math.log(total) - (positive * np.log(positive)).sum() / total) if total else 0.0


class CountLosses(NamedTuple):
    """Mean −ln p of tokens of the validation part, by the training part's counts."""

    unigram: float
    bigram: float | None
    """Each token by the one before it; None where no token has one."""


@dataclass(frozen=True)
class ValidationText:
    """The validation part beside the training part."""

    tokens: int
    unigram: float
    """H(token) of the validation part itself."""
    unigram_loss: float
    """Mean −ln p of its tokens by the training part's token frequencies."""
    divergence: float
    """KL divergence of the two, unigram_loss − unigram, less the expected divergence of two samples of one source."""
    within: float = 0.0
    """The control: the median of the same divergence of up to `CONTROLS` blocks of the training part, as long as the validation
    part, each from the rest. It grows with the vocabulary and with how much the text changes from place to place."""
    bigram_loss: float | None = None
    """Mean −ln p of its first `MOST_PAIRS` tokens, each by the one before it, by the training part's pairs; None for one
    token."""
    evaluated: CountLosses | None = None
    """On the tokens of evaluations during training; None where these are all, or not known."""

    def losses(self, *, on_all: bool) -> CountLosses:
        """On all of the part, else on the tokens that evaluations during training use."""
        return CountLosses(self.unigram_loss, self.bigram_loss) if on_all or self.evaluated is None else self.evaluated


def validation_text(ids: Array, end: Array, counts: BigramCounts) -> ValidationText | None:
    """Compare the two parts; `counts` are those of `ids`. None without a validation part."""
    if not len(end):
        return None
    own = np.bincount(end, minlength=counts.vocab_size)
    unigram, unigram_loss = entropy_of_counts(own), float((own * counts.unigram_losses()).sum() / len(end))
    bigram_loss = float(counts.bigram_losses(end[: MOST_PAIRS + 1]).mean()) if len(end) > 1 else None
    blocks = min(CONTROLS, max(2, len(ids) // len(end)))
    starts, length = range(0, len(ids) - 1, len(ids) // blocks), min(len(end), len(ids) // blocks)
    parts = [np.bincount(ids[start : start + length], minlength=counts.vocab_size) for start in starts[:blocks]]
    within = float(np.median([divergence_of(part, counts.tokens - part) for part in parts]))
    return ValidationText(len(end), unigram, unigram_loss, divergence_of(own, counts.tokens), within, bigram_loss)


def divergence_of(own: Array, others: Array) -> float:
    """KL divergence in nats of the token frequencies of a text from those of another, both given as counts (V), less what is
    expected of two samples of one source; every count of the other is raised by one."""
    losses = -np.log((others + 1) / (others.sum() + len(others)))
    # Of n draws from k outcomes the expected KL divergence from their source is about (k − 1) / 2n (Miller 1955).
    expected = sum((np.count_nonzero(each) - 1) / (2 * max(1, each.sum())) for each in (own, others))
    return float((own * losses).sum() / own.sum() - entropy_of_counts(own) - expected)


def losses_in(end: Array, ranges: Ranges, counts: BigramCounts) -> CountLosses:
    """Losses of the tokens of a validation part that are in these ranges of it, of the first `MOST_PAIRS` of them."""
    unigram, bigram, given = 0.0, 0.0, 0
    tokens, each = 0, counts.unigram_losses()
    for start, stop in ranges:
        stop = min(stop, start + MOST_PAIRS - tokens)
        if stop <= start:
            continue
        tokens += stop - start
        unigram += float(each[end[start:stop]].sum())
        pairs = counts.bigram_losses(end[max(0, start - 1) : stop])
        bigram, given = bigram + float(pairs.sum()), given + len(pairs)
    return CountLosses(unigram / tokens, bigram / given if given else None)


@dataclass(frozen=True)
class TextEntropy:
    """Entropies of the training part, in nats per token."""

    unigram: float
    """H(token): the lowest loss of predictions from no context."""
    bigram: float
    """H(next token | this token): the lowest loss of predictions from one token of context."""
    validation: ValidationText | None = None
    copied: CopiedShare | None = None
    """Of a run from before it was kept in its settings: measured with them."""


def text_entropy(ids: Array, end: Array, vocab_size: int, evaluated: Ranges = ()) -> TextEntropy:
    """Entropies of a training part of two tokens or more, of its validation part `end`, and of the `evaluated` ranges of that."""
    ids = ids[-MOST_TOKENS:]
    counts = BigramCounts.of(ids, vocab_size)
    validation = validation_text(ids, end[:MOST_TOKENS], counts)
    if validation is not None and any(start < stop for start, stop in evaluated):
        validation = replace(validation, evaluated=losses_in(end, evaluated, counts))
    bigram = max(0.0, entropy_of_counts(counts.pair_counts) - entropy_of_counts(counts.first))  # H(this, next) − H(this)
    return TextEntropy(entropy_of_counts(counts.tokens), bigram, validation)


def run_entropy(run: Run) -> TextEntropy | None:
    """Entropy of the run's own training text, measured once; None where its tokens are missing, as in the demo."""
    data, vocab_size = run.config.data, run.config.tokenizer.vocab_size
    try:
        changed = run.tokens_path.lstat().st_mtime_ns
    except OSError:
        return None
    segments = data.evaluated.tokens if data.evaluated is not None and data.evaluated.bytes < data.val_bytes else ()
    evaluated = tuple((start - data.split, stop - data.split) for start, stop in segments)
    found = _measured(str(run.tokens_path), changed, data.split, vocab_size, evaluated)
    copied = run_copied(run) if data.copied is None else None
    return replace(found, copied=copied) if found is not None and copied is not None else found


def run_copied(run: Run) -> CopiedShare | None:
    """The copied share of a run's validation text: as it was recorded or, in a run from before, measured once on its tokens."""
    data = run.config.data
    if data.copied is not None or not run.config.has_text:
        return data.copied
    try:
        changed = run.tokens_path.lstat().st_mtime_ns
        return _measured_copy(str(run.path), changed)
    except (OSError, UserError, TokenizerError):
        return None  # training and Inspect report it


@functools.lru_cache(maxsize=32)
def _measured_copy(path: str, changed: int) -> CopiedShare | None:
    run = Run(Path(path))
    data = run.config.data
    final = data.final.tokens if data.final is not None else spread(data.split, data.tokens, *FINAL_SEGMENTS)
    sampled = sum(stop - start for start, stop in final) / max(1, data.tokens - data.split)
    return copied_in_tokens(run.tokens_path, tokenizer_of(run), data.split, final, sampled)


@functools.lru_cache(maxsize=32)
def _measured(path: str, changed: int, split: int, vocab_size: int, evaluated: Ranges) -> TextEntropy | None:
    try:
        tokens = TokenFile(path, token_dtype(vocab_size))
    except UserError:
        return None
    ids, end = tokens[:split], tokens[split:]
    counted = (ids[-MOST_TOKENS:], end[:MOST_TOKENS], *(end[start:stop] for start, stop in evaluated))
    if len(ids) < 2 or any(len(part) and int(part.max()) >= vocab_size for part in counted):
        return None  # not a text of this vocabulary; training and Inspect report it
    return text_entropy(ids, end, vocab_size, evaluated)


def bytes_per_token(data: DataConfig, history: "LossHistory", final: FinalEvaluation | None = None) -> float:
    """Bytes per token of the validation text, of the tokens of the evaluation at the end, else before it; 1 in an imported
    run."""
    last = final or history.last_evaluation
    if last is not None and last.val_loss and last.bits_per_byte:
        return last.val_loss / math.log(2) / last.bits_per_byte
    return data.val_bytes / max(1, data.tokens - data.split) or 1.0


@dataclass(frozen=True)
class LossUnit:
    """A unit of losses, and its factors from nats per token, on validation text and on training text."""

    name: str = "nats per token"
    short: str = "nats"
    factor: float = 1.0
    train_factor: float = 1.0

    def __call__(self, loss: float, decimals: int = 2) -> str:
        """A loss in nats per token, in this unit."""
        return fixed(loss * self.factor, decimals)

    @property
    def train(self) -> "LossUnit":
        """This unit for losses on the training text."""
        return replace(self, factor=self.train_factor)

    @property
    def suffix(self) -> str:
        """What a number has behind it that stands alone: ` bits/byte`; nothing for nats, the unit of losses everywhere."""
        return "" if self.short == "nats" else f" {self.short}"


NATS = LossUnit()


def bits_per_byte(data: DataConfig, history: "LossHistory", final: FinalEvaluation | None) -> LossUnit:
    """It compares across tokenizers. Each loss has the bytes per token of its own text, training or validation."""
    on_validation = bytes_per_token(data, history, final)
    in_training = data.train_bytes / max(1, data.split) or on_validation
    return LossUnit("bits per byte", "bits/byte", 1 / math.log(2) / on_validation, 1 / math.log(2) / in_training)


@dataclass(frozen=True)
class Baseline:
    """A loss to compare with, in nats per token, with its long and short label in a legend."""

    name: str
    short: str
    loss: float


def baselines(
    vocab_size: int, data: DataConfig, history: "LossHistory", entropy: TextEntropy | None, final: FinalEvaluation | None
) -> tuple[Baseline, ...]:
    """The known baselines, from the highest to the lowest, on the tokens that the loss beside them is measured on: those of the
    evaluation at the end of a run, or of the evaluations during training."""
    found = [Baseline("uniform baseline: ln V", "uniform", uniform_baseline(vocab_size))]
    validation = entropy.validation if entropy is not None else None
    if validation is not None:
        part = f" of {count(MOST_TOKENS)} tokens" if data.split > MOST_TOKENS else ""
        unigram, bigram = validation.losses(on_all=final is not None)
        found.append(Baseline(f"unigram{part}, on validation", "unigram", unigram))
        if bigram is not None:
            found.append(Baseline(f"bigram{part}, on validation", "bigram", bigram))
    if data.entropy_bits_per_byte is not None:
        source = data.entropy_bits_per_byte * math.log(2) * bytes_per_token(data, history, final)
        found.append(Baseline("source entropy", "source", source))
    return tuple(sorted(found, key=lambda each: each.loss, reverse=True))


def bigram_sentence(entropy: TextEntropy | None, *, on_all: bool, unit: LossUnit = NATS) -> str:
    """A sentence on the bigram baseline; empty where it is not known."""
    validation = entropy.validation if entropy is not None else None
    level = validation.losses(on_all=on_all).bigram if validation is not None else None
    if validation is None or level is None:
        return ""
    where = "the validation text" if on_all or validation.evaluated is None else "the same part of the validation text"
    return f"Bigram: the training text's counts of token pairs lose {unit(level)} on {where}."
