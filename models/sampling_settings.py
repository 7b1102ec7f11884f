"""Sampling settings: temperature, top-k, top-p, seed. Nothing here needs torch, so that a screen can hold and check them."""

import math
from dataclasses import dataclass

from models.config import LARGEST, ConfigError


@dataclass(frozen=True)
class SamplingSettings:
    """Settings of sampling. Filters act in this order, as in Hugging Face's transformers: temperature, top-k, top-p.

    `temperature` divides the logits; 0 means the same as `greedy`: always the most probable token, the lower id on a tie.
    `top_k` keeps the k most probable tokens; 0 keeps all.
    `top_p` keeps the most probable tokens until their sum reaches p, the one that crosses p included (Holtzman et al. 2020,
    "The Curious Case of Neural Text Degeneration"), measured on what top-k has left; 1 keeps all.

    Raises:
        ConfigError: if a value is out of range; the message is one sentence for the user.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
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
        if not 0 <= self.seed < 2**64:
            raise ConfigError(f"seed must be from 0 to {2**64 - 1}, not {self.seed}.")
