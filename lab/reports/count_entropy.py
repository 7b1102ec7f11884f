"""Entropy of token counts."""

import math
from typing import Any

import numpy as np

MOST_TOKENS = 10_000_000
"""Of a longer text only so many are counted: sorting their pairs takes about a second."""


def entropy_of_counts(counts: np.ndarray[Any, Any]) -> float:
    """-Σ p ln p in nats of the relative frequencies p; zeros count nothing."""
    positive = counts[counts > 0].astype(np.float64)
    total = positive.sum()
    return float(math.log(total) - (positive * np.log(positive)).sum() / total) if total else 0.0
