"""Baseline losses: uniform, unigram and bigram on the validation text, and the source's entropy."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lab.analysis.text_entropy import MOST_TOKENS, TextEntropy
from lab.core.number_format import count, fixed
from lab.runs.run_schema import DataConfig, FinalEvaluation
from models.config import uniform_baseline

if TYPE_CHECKING:
    from lab.runs.run_history import LossHistory


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
