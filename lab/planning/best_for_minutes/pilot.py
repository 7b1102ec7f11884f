"""Pilot of a text: the loss that a very small model reaches on it in some seconds, from which that of longer runs is expected.

Here is what it is; `lab.planning.best_for_minutes.measure_pilot` has one trained.
"""

from typing import Annotated

import msgspec

from models.config import ModelConfig

VOCABULARY, CONTEXT, BATCH, STEPS = 512, 64, 32, 100
LAYERS, HEADS, WIDTH = 2, 2, 64
WEIGHT_DECAY = 0.1
EVALUATED = (STEPS // 4, STEPS // 2, STEPS * 3 // 4)
"""Steps after which it is evaluated, besides its end."""

PilotLoss = Annotated[float, msgspec.Meta(gt=0, le=100)]


class Pilot(msgspec.Struct, frozen=True):
    """What a pilot found. Losses are in bits per byte of held-out text."""

    bits_per_byte: PilotLoss
    """The lowest loss: that of its end, or of an earlier step where it memorized its sample."""
    fell_by: Annotated[float, msgspec.Meta(ge=-10, le=10)]
    """Natural logarithm of its loss at half of its steps over that of its end: how fast it was still falling. 0 where it rose
    towards the end, since it memorized its sample."""
    tokens: Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
    """Tokens of its sample, without repeats."""
    bytes: Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
    """Bytes of its sample."""
    entropy: Annotated[float, msgspec.Meta(ge=0, le=8)] | None = None
    """True entropy of the text's source, where that is known."""


def pilot_shape(vocabulary: int, context: int) -> ModelConfig:
    return ModelConfig(layers=LAYERS, heads=HEADS, width=WIDTH, vocab_size=vocabulary, context=context)
