"""The shape of a GPT-2, the presets, and the choices of how it is computed and optimized. Nothing here needs torch."""

import math
from dataclasses import dataclass, replace
from typing import Literal

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


@dataclass(frozen=True)
class Preset:
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
