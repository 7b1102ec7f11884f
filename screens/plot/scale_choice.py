"""The choice between a linear and a logarithmic y axis, by the one that shows more of a curve."""

from collections.abc import Sequence

import numpy as np

from lab.core.float_columns import Floats

STEEP_PART = 1 / 4
"""First part of a curve, in which a loss falls steeply; the rest is what one looks at."""
MUCH_MORE = 1.5
"""A logarithmic axis is harder to read: it has to give the rest so many times the height."""


def shows_more_on_log(curves: Sequence[tuple[Sequence[float] | Floats, Sequence[float] | Floats]]) -> bool:
    """Check that a logarithmic axis would give the curves after their steep part much more of the height than a linear one."""
    found = [(np.asarray(xs, np.float64), np.asarray(ys, np.float64)) for xs, ys in curves if len(xs)]
    found = [(xs[known], ys[known]) for xs, ys in found if (known := np.isfinite(ys)).any()]
    if not found:
        return False
    first, last = min(xs[0] for xs, _ in found), max(xs[-1] for xs, _ in found)
    begins = first + STEEP_PART * (last - first)
    whole = np.concatenate([ys for _, ys in found])
    rest = np.concatenate([ys[xs >= begins] for xs, ys in found])
    low, high = whole.min(), whole.max()
    if low <= 0 or high <= low or not len(rest) or rest.max() <= rest.min():
        return False
    linear = (rest.max() - rest.min()) / (high - low)
    logarithmic = np.log(rest.max() / rest.min()) / np.log(high / low)
    return bool(logarithmic >= MUCH_MORE * linear)
