"""The y axis that shows most of a curve: linear or logarithmic, all of it or only what comes after its steep part."""

from collections.abc import Sequence

import numpy as np

from lab.core.float_columns import Floats
from screens.plot.plot_settings import PlotSettings

STEEP_PART = 1 / 4
"""First part of a curve, in which a loss falls steeply; the rest is what one looks at."""
MUCH_MORE = 1.5
"""A logarithmic axis is harder to read: it has to give the rest so many times the height."""


Curve = tuple[Sequence[float] | Floats, Sequence[float] | Floats]
"""Its xs, which do not fall, and its ys."""


def shows_more_on_log(curves: Sequence[Curve]) -> bool:
    """Check that a logarithmic axis would give the curves after their steep part much more of the height than a linear one."""
    whole, rest = _whole_and_rest(curves)
    if not len(rest) or whole.min() <= 0 or rest.max() <= rest.min():
        return False
    linear = (rest.max() - rest.min()) / (whole.max() - whole.min())
    logarithmic = np.log(rest.max() / rest.min()) / np.log(whole.max() / whole.min())
    return bool(logarithmic >= MUCH_MORE * linear)


def range_after_steep_part(curves: Sequence[Curve]) -> tuple[float, float] | None:
    """Lowest and highest y of the curves after their steep part."""
    _, rest = _whole_and_rest(curves)
    return (float(rest.min()), float(rest.max())) if len(rest) else None


def scale_words(settings: PlotSettings, log_y: bool) -> str:
    """The scale of y for the legend."""
    return f"{'log' if log_y else 'linear'} y{', zoomed' if settings.y_zoomed else ''}"


def _whole_and_rest(curves: Sequence[Curve]) -> tuple[Floats, Floats]:
    """All ys of the curves, and those after the steep part."""
    found = [(np.asarray(xs, np.float64), np.asarray(ys, np.float64)) for xs, ys in curves if len(xs)]
    if not found:
        return np.empty(0), np.empty(0)
    first, last = min(xs[0] for xs, _ in found), max(xs[-1] for xs, _ in found)
    begins = first + STEEP_PART * (last - first)
    return np.concatenate([ys for _, ys in found]), np.concatenate([ys[xs >= begins] for xs, ys in found])
