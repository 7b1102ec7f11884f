"""Curves of an experiment's runs: validation loss against tokens, floating-point operations and time."""

import math
from dataclasses import dataclass

from lab.planning.estimates.measure_step_time import known_step_seconds
from lab.reports.loss_curve import Evaluations
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
        """The latest evaluation."""
        return self.points[-1] if self.points else None

    @property
    def before_decay(self) -> tuple[CurvePoint, ...]:
        """Evaluations at the full learning rate: after the warm-up and before it falls."""
        first, last = WARMUP * self.seconds, DECAY_BEGINS * self.seconds
        return tuple(point for point in self.points if first <= point.seconds <= last)


class CurvesReader:
    """Reads the curves again and again, each time only what the runs have appended. Not thread-safe."""

    def __init__(self, experiment: ScalingExperiment) -> None:
        self._experiment = experiment
        self._plan: ScalingPlan | None = None
        self._readers: dict[str, _RunReader] = {}

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
            reader = self._readers.get(name)
            if reader is None or reader.run.config.created != run.config.created:
                reader = self._readers[name] = _RunReader(run)
            curves.append(reader.read(number))
        return curves


class _RunReader:
    def __init__(self, run: Run) -> None:
        self.run = run
        self._evaluations = Evaluations(run.metrics_path)

    def read(self, number: int) -> SizeCurve:
        evaluations = [metric for metric in self._evaluations.metrics() if metric.step > 0]
        config, last = self.run.config, evaluations[-1] if evaluations else None
        each = flops_per_token(config.model)
        return SizeCurve(
            name=self.run.name,
            number=number,
            model=config.model,
            phase=self.run.phase(),
            lr=config.train.lr,
            seconds=60 * (config.train.minutes or 0.0),
            epochs=last.epoch if last else 0.0,
            points=tuple(
                CurvePoint(metric.tokens, float(metric.tokens * each), metric.seconds, metric.val_loss)
                for metric in evaluations
                if metric.val_loss
            ),
            step_seconds=last.seconds / last.step if last and config.train.minutes_of_steps else None,
            timed_step=known_step_seconds(config.model, config.train, self.run.path.parent),
            floor=_floor(config, last) if last else None,
        )


def _floor(config: RunConfig, evaluation: Metric) -> float | None:
    """The source's entropy for the evaluated tokens: bits per byte · ln 2 · their bytes per token."""
    bits = config.data.entropy_bits_per_byte
    if bits is None or not evaluation.val_loss or not evaluation.bits_per_byte:
        return None
    bytes_per_token = evaluation.val_loss / math.log(2) / evaluation.bits_per_byte
    return bits * math.log(2) * bytes_per_token
