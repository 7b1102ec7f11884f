"""Probability codes: two characters for each probability, exact to the tenth of a percent that a reader sees."""

import numpy as np
from numpy.typing import NDArray

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
"""Digits of the base 64, none of which has a meaning in HTML or JSON."""

CODES = 1003
"""0 is 0%, 1 is <0.1%, then one for each tenth of a percent, then >99.9% and 100%: as `lab.core.number_format` writes them."""


def codes(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """The code of each probability, from 0 to `CODES` − 1."""
    p = probabilities.astype(np.float64)
    tenths = np.rint(p * 1000).astype(np.int64)
    found = np.clip(tenths + 1, 1, 1001)
    found = np.where((p < 1) & (tenths >= 1000), 1001, found)
    return np.where(p <= 0, 0, np.where(p >= 1, CODES - 1, found))


def encode(probabilities: NDArray[np.floating]) -> str:
    """Two characters for each probability, the more significant one first."""
    digits = np.array(list(DIGITS))
    found = codes(probabilities.ravel())
    pairs = np.stack([digits[found // 64], digits[found % 64]], axis=1)
    return "".join(pairs.ravel().tolist())


def lower_triangle(pattern: NDArray[np.floating]) -> NDArray[np.floating]:
    """The rows of a causal (n, n) pattern up to the diagonal, one after the other: n(n + 1) / 2 numbers."""
    rows, columns = np.tril_indices(len(pattern))
    return pattern[rows, columns]
