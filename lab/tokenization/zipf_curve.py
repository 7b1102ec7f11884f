"""Zipf's picture: frequency of the tokens against their rank by frequency, and the slope of the line through it.

Zipf's law: the n-th most frequent word of a text occurs about 1/n as often as the most frequent, a line of slope −1 where both
axes are logarithmic (Zipf 1949, "Human Behavior and the Principle of Least Effort").
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab.data.token_file import Ids

MOST_POINTS = 400
"""Points of the curve, evenly apart on the logarithmic axis."""
FITTED_RANKS = (10, 1000)
"""Ranks that the line is fitted to, the second at most the middle one: the first few tokens follow no law, and the curve
drops where the vocabulary ends."""
FEWEST_FITTED = 20


@dataclass(frozen=True, eq=False)
class ZipfCurve:
    """Points of the curve from rank 1; only tokens that occur have a rank."""

    ranks: NDArray[np.float64]
    counts: NDArray[np.float64]
    slope: float | None
    """Slope of log count over log rank, by least squares over `fitted`; None where too few tokens occur."""
    fitted: tuple[int, int]
    """First and last rank that the line is fitted to."""
    at_fitted: tuple[float, float]
    """Counts of the line at these two."""


def zipf_curve(counts: Ids) -> ZipfCurve:
    """The curve of these frequencies, (vocab_size,)."""
    falling = np.sort(counts[counts > 0])[::-1].astype(np.float64)
    used = len(falling)
    spread = np.geomspace(1, max(1, used), MOST_POINTS).round().astype(np.int64) if used else np.zeros(0, np.int64)
    ranks = np.unique(spread)
    first, last = FITTED_RANKS[0], min(FITTED_RANKS[1], used // 2)
    slope, at_fitted = None, (math.nan, math.nan)
    if last - first + 1 >= FEWEST_FITTED:
        inside = np.arange(first, last + 1)
        slope, at_one = map(float, np.polyfit(np.log(inside), np.log(falling[inside - 1]), 1))
        at_fitted = (math.exp(at_one + slope * math.log(first)), math.exp(at_one + slope * math.log(last)))
    return ZipfCurve(ranks.astype(np.float64), falling[ranks - 1], slope, (first, last), at_fitted)
