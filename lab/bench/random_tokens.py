"""Random tokens to measure with."""

from typing import Any

import numpy as np

Ids = np.ndarray[Any, np.dtype[np.int64]]


def random_tokens(vocab_size: int, shape: tuple[int, ...], seed: int = 0) -> Ids:
    """Token ids of this shape, uniform over the vocabulary; speed does not depend on the tokens."""
    return np.random.default_rng(seed).integers(vocab_size, size=shape, dtype=np.int64)
