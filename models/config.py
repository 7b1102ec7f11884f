"""The shape of a GPT-2, the presets, and the settings of training, sampling and tokenizers. Nothing here needs torch."""

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

OptimizerName = Literal["muon", "adamw"]

Precision = Literal["fp32", "bf16", "fp16"]
"""Number format of the matrix products; weights and optimizer state stay fp32. fp16 needs its loss scaled."""

AttentionKernel = Literal["auto", "plain", "fused"]
"""Two plain products and a softmax, torch's fused kernel, or whichever is usually quicker; see `models.attention_kernels`."""

CompileSetting = Literal["auto", "on", "off"]
"""Training steps by torch.compile, or not, or where it repays."""

LARGEST = {"layers": 1024, "heads": 1024, "width": 1 << 16, "context": 1 << 17, "vocab_size": 1 << 20}
"""Upper bounds of a shape: beyond any GPT-2, and small enough that nothing computed from them overflows."""


class ConfigError(ValueError):
    """A shape that cannot be built; the message is one sentence for the user."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The architecture of a GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask
    Learners").

    `context` is the longest sequence in tokens, `width` the length of the residual stream's vectors.

    Raises:
        ConfigError: if a number is out of range, or `width` is not divisible by `heads`.
    """

    layers: int
    heads: int
    width: int
    context: int
    vocab_size: int
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name, most in LARGEST.items():
            if getattr(self, name) < 1:
                raise ConfigError(f"{name.replace('_', ' ')} must be at least 1, not {getattr(self, name)}.")
            if getattr(self, name) > most:
                raise ConfigError(f"{name.replace('_', ' ')} must be at most {most:,}, not {getattr(self, name)}.")
        if self.width % self.heads:
            raise ConfigError(
                f"width {self.width} cannot be divided among {self.heads} heads; "
                f"choose a width that is a multiple of {self.heads}, such as {-(-self.width // self.heads) * self.heads}."
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout must be at least 0 and below 1, not {self.dropout}.")

    @property
    def head_width(self) -> int:
        """Length of one head's query, key and value vectors; the d in 1/sqrt(d)."""
        return self.width // self.heads


class Preset(NamedTuple):
    """A named shape; the vocabulary comes from the tokenizer."""

    layers: int
    heads: int
    width: int
    context: int
    about: str

    def config(self, vocab_size: int, **changes: int | float | None) -> ModelConfig:
        """The preset with this vocabulary, and every change that is not None."""
        base = ModelConfig(layers=self.layers, heads=self.heads, width=self.width, context=self.context, vocab_size=vocab_size)
        return replace(base, **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]


PRESETS: dict[str, Preset] = {
    "nano": Preset(2, 2, 64, 64, "seconds on a laptop; every number fits on a screen"),
    "micro": Preset(4, 4, 128, 128, "minutes on a laptop; enough to write in the manner of its text"),
    "mini": Preset(6, 6, 192, 256, "half an hour on a laptop"),
    "small": Preset(6, 6, 384, 256, "hours on a laptop, minutes on a GPU"),
    "medium": Preset(8, 8, 512, 512, "for a GPU"),
    "gpt2": Preset(12, 12, 768, 1024, "GPT-2 small as OpenAI released it"),
}
DEFAULT_PRESET = "micro"


def uniform_baseline(vocab_size: int) -> float:
    """ln V: the loss in nats per token of assigning equal probability to V tokens."""
    return math.log(vocab_size)


@dataclass(frozen=True)
class SamplingSettings:
    """Settings of sampling. They act in this order, as in Hugging Face's transformers: repetition penalty, temperature, top-k,
    top-p, min-p.

    `temperature` divides the logits; 0 means the same as `greedy`: always the most probable token, the lower id on a tie.
    `top_k` keeps the k most probable tokens; 0 keeps all.
    `top_p` keeps the most probable tokens until their sum reaches p, the one that crosses p included (Holtzman et al. 2020,
    "The Curious Case of Neural Text Degeneration"), measured on what top-k has left; 1 keeps all.
    `min_p` keeps the tokens that have at least this share of the largest probability (Nguyen et al. 2024, "Turning Up the
    Heat: Min-p Sampling for Creative and Coherent LLM Outputs"); 0 keeps all.
    `repetition_penalty` divides the logits of the tokens in the window, or multiplies those below 0 (Keskar et al. 2019, "CTRL",
    section 4.1); 1 leaves them as they are.

    Raises:
        ConfigError: if a value is out of range; the message is one sentence for the user.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    greedy: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature < math.inf:
            raise ConfigError(f"temperature must be 0 or above, not {self.temperature}.")
        if self.top_k < 0:
            raise ConfigError(f"top-k must be 0 (off) or above, not {self.top_k}.")
        if self.top_k > LARGEST["vocab_size"]:
            raise ConfigError(f"top-k must be at most {LARGEST['vocab_size']:,}, the largest vocabulary there is.")
        if not 0.0 < self.top_p <= 1.0:
            raise ConfigError(f"top-p must be above 0 and at most 1 (off), not {self.top_p}.")
        if not 0.0 <= self.min_p <= 1.0:
            raise ConfigError(f"min-p must be from 0 (off) to 1, not {self.min_p}.")
        if not 1.0 <= self.repetition_penalty < math.inf:
            raise ConfigError(f"repetition penalty must be 1 (off) or above, not {self.repetition_penalty}.")
        if not 0 <= self.seed < 2**64:
            raise ConfigError(f"seed must be from 0 to {2**64 - 1}, not {self.seed}.")


TokenizerKind = Literal["bytes", "bpe", "gpt2"]
TokenKind = Literal["byte", "merge", "special", "unused"]

FIXED_VOCABULARY_SIZES = {"bytes": 256, "gpt2": 50_257}
"""Sizes of the vocabularies that are not learned from the user's text, GPT-2's with its special token. That of bytes has one more
where an end-of-text token stands between documents."""

END_OF_TEXT = "<|endoftext|>"
"""GPT-2's special token, and that between documents in the other vocabularies. An imported one may have more."""


class TokenizerError(ValueError):
    """A vocabulary that cannot be made, read or used as asked; the message is one sentence for the user."""
