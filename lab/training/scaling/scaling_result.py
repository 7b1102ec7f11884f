"""Result of a scaling experiment: losses after the same minutes and after the same tokens, and the two laws fitted to them.

The law over parameters goes through the four losses after the same tokens; the law over compute through the frontier, the lowest
loss that any size has reached with so many floating-point operations (Hoffmann et al. 2022, section 3.1). Both use evaluations at
the full learning rate only, since its fall at the end lowers the loss by itself. Each law is tested on a point that was left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lab.training.scaling.size_curves import CurvePoint, SizeCurve

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


FRONTIER_POINTS = 40
"""Amounts of compute at which the frontier is read, evenly apart on the logarithmic axis."""
FITTED_RANGE = 10.0
"""The law over compute goes through the last tenfold of compute: with less, the sizes have hardly begun to learn."""
TEST_SHARE = 1 / 3
"""The test of the law over compute fits it up to this share of the compute, and predicts the loss at the end."""
FEWEST_SIZES = 3
"""Sizes that a line over parameters is fitted through, at least: every two are on one."""
FEWEST_OF_FRONTIER = 4
"""Points of the frontier that a line is fitted through, at least."""

Point = tuple[float, float]
"""x, and loss in nats per token."""


@dataclass(frozen=True)
class HeldOut:
    """A measured point, and the prediction of the law that was fitted without it."""

    x: float
    measured: float
    predicted: float
    floor: float

    @property
    def error(self) -> float:
        """Predicted over measured loss, both above the floor, minus 1."""
        return (self.predicted - self.floor) / (self.measured - self.floor) - 1


@dataclass(frozen=True)
class FittedLaw:
    """Measured points, the law through them, and its test."""

    points: tuple[Point, ...]
    law: PowerLaw | None
    """None where there are too few points for a line."""
    held_out: HeldOut | None


@dataclass(frozen=True)
class SizeResult:
    """One size at the end of its minutes."""

    curve: SizeCurve
    end: CurvePoint | None
    """The last evaluation; None before the run has finished."""
    same_tokens: float | None
    """Loss after `ScalingResult.tokens`; None where it has not been that far."""


@dataclass(frozen=True)
class ScalingResult:
    """Everything that the curves say so far."""

    sizes: tuple[SizeResult, ...]
    """The smallest first."""
    tokens: float | None
    """The number of tokens after which the sizes are compared: the most that all have seen at the full learning rate. None until
    every size has finished."""
    floor: float | None
    """True entropy of the text in nats per token, which is subtracted from the losses; None where it is not known."""
    parameters: FittedLaw
    compute: FittedLaw


def scaling_result(curves: Sequence[SizeCurve], sizes: int) -> ScalingResult:
    """The result of the curves read so far, of an experiment with so many sizes."""
    finished = len(curves) == sizes and all(curve.phase == "finished" for curve in curves)
    floor = next((curve.floor for curve in reversed(curves) if curve.floor is not None), None)
    lowest = min((point.loss for curve in curves for point in curve.points), default=math.inf)
    subtracted = floor if floor is not None and floor < lowest else 0.0
    tokens = _common_tokens(curves) if finished else None
    results = tuple(
        SizeResult(
            curve,
            curve.last if curve.phase == "finished" else None,
            None if tokens is None else _loss_after(curve, tokens),
        )
        for curve in curves
    )
    by_size = [(float(each.curve.parameters), each.same_tokens) for each in results]
    return ScalingResult(
        results,
        tokens,
        subtracted or None,
        parameters_law([(x, loss) for x, loss in by_size if loss is not None], subtracted),
        compute_law(curves, subtracted),
    )


def parameters_law(points: Sequence[Point], floor: float) -> FittedLaw:
    """The law through (parameters, loss) of all sizes; it is tested on the largest, with the law through the others."""
    return _fitted_law(points, points[:-1], FEWEST_SIZES, floor)


def compute_law(curves: Sequence[SizeCurve], floor: float) -> FittedLaw:
    """The law through the end of the frontier; it is tested on the last point, with the law through the first ones.

    The range is `FITTED_RANGE`, the first ones are those up to `TEST_SHARE` of the compute.
    """
    points = frontier(curves)
    points = [point for point in points if point[0] >= points[-1][0] / FITTED_RANGE]
    first = [point for point in points if point[0] <= TEST_SHARE * points[-1][0]]
    return _fitted_law(points, first if len(first) >= FEWEST_OF_FRONTIER else [], FEWEST_OF_FRONTIER, floor)


def _fitted_law(points: Sequence[Point], first: Sequence[Point], fewest: int, floor: float) -> FittedLaw:
    """The law through all points, unless they are too few, tested on the last one with the law through the first ones."""
    if len(points) < fewest:
        return FittedLaw(tuple(points), None, None)
    (x, loss), without = points[-1], fit_power_law(first, floor)
    held_out = HeldOut(x, loss, without.loss(x), floor) if without is not None and loss > floor else None
    return FittedLaw(tuple(points), fit_power_law(points, floor), held_out)


def frontier(curves: Sequence[SizeCurve]) -> list[Point]:
    """The lowest loss of any size at amounts of compute that are evenly apart on the logarithmic axis.

    An amount is left out where less compute had a loss as low: the best size has ended before, or its loss fluctuates.
    """
    lines = [([point.flops for point in curve.before_decay], [point.loss for point in curve.before_decay]) for curve in curves]
    measured = sorted((x, loss) for xs, losses in lines for x, loss in zip(xs, losses, strict=True))
    if not measured:
        return []
    low, high = measured[0][0], measured[-1][0]
    found: list[Point] = []
    for at in range(FRONTIER_POINTS):
        x = min(high, low * (high / low) ** (at / (FRONTIER_POINTS - 1)))
        here = [loss for xs, losses in lines if (loss := log_interpolated(xs, losses, x)) is not None]
        before = [loss for each, loss in (*measured, *found) if each < x]
        if here and min(here) < min(before, default=math.inf):
            found.append((x, min(here)))
    return found


def _common_tokens(curves: Sequence[SizeCurve]) -> float | None:
    """The most tokens that every size has seen at the full learning rate; None where one was not evaluated there."""
    lasts = [curve.before_decay[-1].tokens if curve.before_decay else 0 for curve in curves]
    fewest = min(lasts, default=0)
    return float(fewest) if fewest else None


def _loss_after(curve: SizeCurve, tokens: float) -> float | None:
    points = curve.before_decay
    return log_interpolated([float(point.tokens) for point in points], [point.loss for point in points], tokens)
