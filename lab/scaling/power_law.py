"""Power laws fitted by least squares in log-log: loss − floor = scale · x^−exponent.

Over parameters and compute the losses of language models follow such laws (Kaplan et al. 2020, "Scaling Laws for Neural
Language Models"), with a floor that no model gets below (Hoffmann et al. 2022, "Training Compute-Optimal Large Language Models").
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST_POINTS = 2
"""Points that a line is fitted through, at least."""
FEWEST_FOR_ERROR = 3
"""Points from which on their distance from the line says how certain its slope is."""


@dataclass(frozen=True)
class PowerLaw:
    """A fitted law. In log-log it is a line of slope −exponent."""

    scale: float
    exponent: float
    floor: float
    """Loss that was subtracted before fitting; 0 where none is known."""
    error: float | None
    """Standard error of the exponent; None for two points, which every line goes through."""
    misfit: float
    """Root mean square of the points' distance from the line in ln(loss − floor): 0.1 is about 10%."""
    points: int

    def loss(self, x: float) -> float:
        """The loss that the law gives at `x`, the floor included."""
        return float(self.floor + self.scale * x**-self.exponent)


def fit_power_law(points: Sequence[tuple[float, float]], floor: float = 0.0) -> PowerLaw | None:
    """The law through (x, loss), by least squares of ln(loss − floor) over ln x.

    None where a loss is not above the floor, an x is not above 0, or the points have fewer than two different x.
    """
    if len(points) < FEWEST_POINTS or any(x <= 0 or not loss > floor or not math.isfinite(loss) for x, loss in points):
        return None
    xs = [math.log(x) for x, _ in points]
    ys = [math.log(loss - floor) for _, loss in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    if spread < 1e-12:
        return None
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    squares = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    enough = len(points) >= FEWEST_FOR_ERROR
    return PowerLaw(
        scale=math.exp(mean_y - slope * mean_x),
        exponent=-slope,
        floor=floor,
        error=math.sqrt(squares / (len(points) - 2) / spread) if enough else None,
        misfit=math.sqrt(squares / len(points)),
        points=len(points),
    )


def log_interpolated(xs: Sequence[float], ys: Sequence[float], x: float) -> float | None:
    """The y at `x` on straight lines between the points in log-log; None outside of them. `xs` rise, all are above 0."""
    if not xs or not xs[0] <= x <= xs[-1]:
        return None
    after = next(at for at, each in enumerate(xs) if each >= x)
    if xs[after] == x:
        return ys[after]
    low, high = math.log(xs[after - 1]), math.log(xs[after])
    share = (math.log(x) - low) / (high - low)
    return math.exp((1 - share) * math.log(ys[after - 1]) + share * math.log(ys[after]))
