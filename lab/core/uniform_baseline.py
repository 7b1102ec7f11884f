"""The uniform baseline ln V: the loss of assigning equal probability to all tokens."""

import math


def uniform_baseline(vocab_size: int) -> float:
    """Loss in nats per token of guessing all tokens alike: ln V."""
    return math.log(vocab_size)
