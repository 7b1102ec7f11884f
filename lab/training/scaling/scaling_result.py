"""Result of a scaling experiment: losses after the same minutes and after the same tokens, and the two laws fitted to them.

The law over parameters goes through the four losses after the same tokens; the law over compute through the frontier, the lowest
loss that any size has reached with so many floating-point operations (Hoffmann et al. 2022, section 3.1). Both use evaluations at
the full learning rate only, since its fall at the end lowers the loss by itself. Each law is tested on a point that was left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, linear_regression, pvariance

import msgspec
import numpy as np

from lab.analysis.loss_curve import Evaluations
from lab.core.number_format import date_and_time, duration
from lab.planning.step_time import TIMES, step_key
from lab.runs.run_folder import Run
from lab.runs.run_schema import Metric, RunConfig
from lab.training.scaling.scaling_experiment import ScalingExperiment
from lab.training.scaling.scaling_plan import DECAY_BEGINS, WARMUP, ScalingPlan
from models.config import ModelConfig
from models.parameter_count import flops_per_token, parameter_count


@dataclass(frozen=True)
class CurvePoint:
    """One evaluation during training."""

    tokens: int
    flops: float
    """Floating-point operations of training so far: tokens · `models.parameter_count.flops_per_token`."""
    seconds: float
    loss: float
    """Validation loss in nats per token, on the same tokens in all runs."""


@dataclass(frozen=True)
class SizeCurve:
    """The run of one size, as far as it is."""

    name: str
    number: int
    """From 1, the smallest."""
    model: ModelConfig
    phase: str
    lr: float
    """Peak learning rate."""
    seconds: float
    """Planned time of training."""
    epochs: float
    """Passes over the training text at the latest evaluation."""
    points: tuple[CurvePoint, ...]
    """Evaluations after the first step, in order."""
    step_seconds: float | None
    """Mean time of its steps; None where evaluations are in its time, as in older experiments."""
    timed_step: float | None
    """Time of a step when that was measured before; None where it was not."""
    floor: float | None
    """True entropy of the text in nats per token of the evaluated text; None where it is not known."""

    @property
    def parameters(self) -> int:
        return parameter_count(self.model)

    @property
    def last(self) -> CurvePoint | None:
        return self.points[-1] if self.points else None

    @property
    def end(self) -> CurvePoint | None:
        """The last evaluation; None before the run has finished."""
        return self.last if self.phase == "finished" else None

    @property
    def before_decay(self) -> tuple[CurvePoint, ...]:
        """Evaluations at the full learning rate: after the warm-up and before it falls."""
        first, last = WARMUP * self.seconds, DECAY_BEGINS * self.seconds
        return tuple(point for point in self.points if first <= point.seconds <= last)

    def loss_after(self, tokens: float) -> float | None:
        """Loss after so many tokens at the full learning rate; None where it was not evaluated before and after."""
        points = self.before_decay
        return log_interpolated([point.tokens for point in points], [point.loss for point in points], tokens)


class CurvesReader:
    """Reads the curves again and again, each time only what the runs have appended. Not thread-safe."""

    def __init__(self, experiment: ScalingExperiment) -> None:
        self._experiment = experiment
        self._plan: ScalingPlan | None = None
        self._readers: dict[str, Evaluations] = {}
        """By name of the run. A file in place of another they read from its beginning."""

    def read(self) -> list[SizeCurve]:
        """The curves of the runs that have been made, the smallest model first.

        Raises: UserError, where the plan or the settings of a run cannot be read.
        """
        self._plan = self._plan or self._experiment.plan()
        names = self._experiment.run_names(self._plan)
        curves = []
        for number, (name, run) in enumerate(zip(names, self._experiment.runs(self._plan), strict=True), 1):
            if run is None:
                self._readers.pop(name, None)
                continue
            evaluations = self._readers.setdefault(name, Evaluations(run.metrics_path)).metrics()
            curves.append(_curve(run, number, [metric for metric in evaluations if metric.step > 0]))
        return curves


def _curve(run: Run, number: int, evaluations: list[Metric]) -> SizeCurve:
    config, last = run.config, evaluations[-1] if evaluations else None
    each = flops_per_token(config.model)
    return SizeCurve(
        name=run.name,
        number=number,
        model=config.model,
        phase=run.phase(),
        lr=config.train.lr,
        seconds=60 * (config.train.minutes or 0.0),
        epochs=last.epoch if last else 0.0,
        points=tuple(
            CurvePoint(metric.tokens, float(metric.tokens * each), metric.seconds, metric.val_loss)
            for metric in evaluations
            if metric.val_loss
        ),
        step_seconds=last.seconds / last.step if last and config.train.minutes_of_steps else None,
        timed_step=dict(TIMES.known(run.path.parent)).get(step_key(config.model, config.train)),
        floor=_floor(config, last) if last else None,
    )


def _floor(config: RunConfig, evaluation: Metric) -> float | None:
    """The source's entropy for the evaluated tokens: bits per byte · ln 2 · their bytes per token."""
    bits = config.data.entropy_bits_per_byte
    if bits is None or not evaluation.val_loss or not evaluation.bits_per_byte:
        return None
    bytes_per_token = evaluation.val_loss / math.log(2) / evaluation.bits_per_byte
    return bits * math.log(2) * bytes_per_token


RECORDED = Path(__file__).with_name("recorded.json")


class RecordedScaling(msgspec.Struct, frozen=True):
    """The curves of an experiment with the usual settings, which are shown where there is none of that name."""

    machine: str
    time: float
    """Unix time of its beginning."""
    curves: tuple[SizeCurve, ...]

    @property
    def words(self) -> str:
        seconds = duration(self.curves[0].seconds)
        return f"Recorded on {self.machine}, {date_and_time(self.time)[:10]}, {seconds} of its time each."

    @property
    def measures(self) -> dict[str, float]:
        """`lowest`, the number of the size that ended lowest, and the last loss of each, as `loss_1`; for guesses."""
        ends = {curve.number: curve.points[-1].loss for curve in self.curves}
        return {"lowest": min(ends, key=lambda number: ends[number]), **{f"loss_{number}": ends[number] for number in ends}}


@cache
def recorded_scaling() -> RecordedScaling:
    return msgspec.json.decode(RECORDED.read_bytes(), type=RecordedScaling)


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
    spread = pvariance(xs)
    if spread < 1e-12:
        return None
    slope, offset = linear_regression(xs, ys)
    square = fmean((y - offset - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    error = math.sqrt(square / (len(points) - 2) / spread) if len(points) >= FEWEST_FOR_ERROR else None
    return PowerLaw(math.exp(offset), -slope, floor, error, math.sqrt(square))


def log_interpolated(xs: Sequence[float], ys: Sequence[float], x: float) -> float | None:
    """The y at `x` on straight lines between the points in log-log; None outside of them. `xs` rise, all are above 0."""
    if not xs or not xs[0] <= x <= xs[-1]:
        return None
    return math.exp(np.interp(math.log(x), np.log(xs), np.log(ys)))


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
class FittedLaw:
    """Measured points, the law through them, and its test on the last of them."""

    points: tuple[Point, ...]
    law: PowerLaw | None = None
    """None where there are too few points for a line."""
    predicted: float | None = None
    """The loss at the last point by a law that was fitted without it; None where too few are left for that."""


@dataclass(frozen=True)
class ScalingResult:
    """Everything that the curves say so far."""

    sizes: tuple[SizeCurve, ...]
    """The smallest first."""
    tokens: float | None
    """The number of tokens after which the sizes are compared: the most that all have seen at the full learning rate. None until
    every size has finished."""
    floor: float | None
    """True entropy of the text in nats per token, which is subtracted from the losses; None where it is not known."""
    parameters: FittedLaw
    compute: FittedLaw

    @property
    def same_tokens(self) -> list[float | None]:
        """The loss of each size after `tokens`; None where it was not evaluated before and after."""
        return [None if self.tokens is None else curve.loss_after(self.tokens) for curve in self.sizes]


def scaling_result(curves: Sequence[SizeCurve], sizes: int) -> ScalingResult:
    """The result of the curves read so far, of an experiment with so many sizes."""
    finished = len(curves) == sizes and all(curve.phase == "finished" for curve in curves)
    floor = next((curve.floor for curve in reversed(curves) if curve.floor is not None), None)
    lowest = min((point.loss for curve in curves for point in curve.points), default=math.inf)
    subtracted = floor if floor is not None and floor < lowest else 0.0
    # The most tokens that every size has seen at the full learning rate; none where one was not evaluated there.
    fewest = min((curve.before_decay[-1].tokens if curve.before_decay else 0 for curve in curves), default=0)
    tokens = float(fewest) if finished and fewest else None
    losses = [(float(curve.parameters), curve.loss_after(tokens)) for curve in curves] if tokens is not None else []
    by_size = [(parameters, loss) for parameters, loss in losses if loss is not None]
    # Tested on the largest size, with the law through the others.
    parameters = _fitted_law(by_size, by_size[:-1], FEWEST_SIZES, subtracted)
    return ScalingResult(tuple(curves), tokens, subtracted or None, parameters, compute_law(curves, subtracted))


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
        return FittedLaw(tuple(points))
    without = fit_power_law(first, floor)
    return FittedLaw(tuple(points), fit_power_law(points, floor), without.loss(points[-1][0]) if without is not None else None)


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
