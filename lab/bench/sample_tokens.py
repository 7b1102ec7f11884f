"""Tokens to measure with."""

from typing import Any

import numpy as np

Ids = np.ndarray[Any, np.dtype[np.int64]]


def random_tokens(vocab_size: int, shape: tuple[int, ...], seed: int = 0) -> Ids:
    """Token ids of that shape, uniform over the vocabulary. Speed does not depend on which tokens they are."""
    return np.random.default_rng(seed).integers(vocab_size, size=shape, dtype=np.int64)
