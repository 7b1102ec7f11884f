"""Plots of a scaling experiment in log-log: loss against compute and against parameters, each with its fitted line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from screens.plot.figure import MOST_RUNS, RUN_ROLES, Figure, Series

if TYPE_CHECKING:
    from lab.scaling.scaling_result import FittedLaw, Point, ScalingResult

LINE_DASHES = (2, 2)
FIT_ROLE = RUN_ROLES[-1]
SIGN_OF_SAME_TOKENS = "●"


def compute_figure(result: ScalingResult) -> Figure:
    """A curve for each size, marked with its number, over the operations of training; and the line through the lowest."""
    from lab.core.number_format import count

    floor = result.floor or 0.0
    series = []
    for each in result.sizes:
        curve = each.curve
        role = RUN_ROLES[(curve.number - 1) % (MOST_RUNS - 1)]
        xs = [math.log10(point.flops) for point in curve.points]
        ys = [point.loss - floor for point in curve.points]
        size = count(curve.parameters)
        series.append(Series(f"{size} parameters", size, "marked", role, xs, ys, str(curve.number)))
    if result.tokens is not None:
        series += _fitted(result.compute, "C", floor)
    return Figure(
        tuple(series),
        version=("compute", floor, tuple((each.curve.name, len(each.curve.points)) for each in result.sizes), result.tokens),
        x_label="log₁₀ FLOPs",
        log_y=True,
        auto_log_y=True,
        scale_words=_scale_words(result),
        empty="The first evaluation makes the first point.",
    )


def parameters_figure(result: ScalingResult) -> Figure:
    """The losses over parameters, after the same minutes and after the same tokens, and the line through the latter."""
    from lab.core.number_format import count, duration

    floor = result.floor or 0.0
    ends = [(float(each.curve.parameters), each.end.loss) for each in result.sizes if each.end is not None]
    series = []
    if ends:
        words = f"after {duration(result.sizes[0].curve.seconds)}"
        series.append(_points(words, "same time", "marked", RUN_ROLES[0], ends, floor))
    if result.tokens is not None:
        words = f"after {count(result.tokens)} tokens"
        points = result.parameters.points
        series.append(_points(words, "same tokens", "marks", RUN_ROLES[1], points, floor, SIGN_OF_SAME_TOKENS))
    series += _fitted(result.parameters, "N", floor)
    return Figure(
        tuple(series),
        version=("parameters", floor, tuple(ends), result.tokens),
        x_label="log₁₀ parameters",
        log_y=True,
        auto_log_y=True,
        scale_words=_scale_words(result),
        empty="The first size to finish makes the first point.",
    )


def _points(
    name: str,
    short: str,
    kind: str,
    role: str,
    points: list[Point] | tuple[Point, ...],
    floor: float,
    sign: str = "",
) -> Series:
    xs, ys = [math.log10(x) for x, _ in points], [loss - floor for _, loss in points]
    return Series(name, short, "marked" if kind == "marked" else "marks", role, xs, ys, sign)


def _fitted(fitted: FittedLaw, symbol: str, floor: float) -> list[Series]:
    """The fitted line from the first of its points to the last."""
    from lab.core.number_format import fixed

    law = fitted.law
    if law is None:
        return []
    ends = [fitted.points[0][0], fitted.points[-1][0]]
    name = f"{symbol}^{fixed(-law.exponent, 2)}"
    xs, ys = [math.log10(x) for x in ends], [law.loss(x) - floor for x in ends]
    return [Series(name, name, "line", FIT_ROLE, xs, ys, dashes=LINE_DASHES)]


def _scale_words(result: ScalingResult) -> str:
    from lab.core.number_format import fixed

    return "loss, log" if result.floor is None else f"loss − entropy {fixed(result.floor)}, log"
