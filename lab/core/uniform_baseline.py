"""The uniform baseline ln V: the loss of assigning equal probability to all tokens."""

import math


def uniform_baseline(vocab_size: int) -> float:
    """ln V: the loss in nats per token of assigning equal probability to V tokens."""
    return math.log(vocab_size)
