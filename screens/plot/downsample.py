"""Downsample a curve for a plot: the lowest and the highest point of each column, so that no spike is lost."""

from collections.abc import Sequence

import numpy as np

from lab.core.float_columns import Floats


def thin(xs: Sequence[float] | Floats, ys: Sequence[float] | Floats, buckets: int) -> tuple[list[float], list[float]]:
    """At most two points for each of `buckets` equal stretches of x: the lowest and the highest, in their order.

    `xs` must not fall. What a plot with that many columns would show is unchanged, a spike of one step included.
    """
    x, y = np.asarray(xs), np.asarray(ys)
    if len(x) <= 2 * buckets:
        return x.tolist(), y.tolist()
    starts = np.searchsorted(x, np.linspace(x[0], x[-1], buckets + 1)[:-1])
    chosen: list[int] = []
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(x)], strict=True):
        if start < end:
            part = y[start:end]
            low, high = start + int(part.argmin()), start + int(part.argmax())
            chosen += [low] if low == high else [min(low, high), max(low, high)]
    return x[chosen].tolist(), y[chosen].tolist()
