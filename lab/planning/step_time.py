"""Time of a training step on this machine: measured, by `lab.training.time_steps` in a process of its own, and kept;
of any other shape by the nearest that were. Imports nothing heavy; that process does."""

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import msgspec

from lab.core.child_process import MeasuringProcess
from lab.core.kept_entries import KeptEntries
from lab.core.machine import Machine, cores, gpu, processor
from lab.planning.default_hyperparameters import QUICK_FLOPS_PER_CORE, QUICK_FLOPS_PER_GPU, QUICKEST_GPU_STEP
from lab.runs.run_schema import TrainConfig
from models.config import ModelConfig
from models.parameter_count import flops_per_token

StepSeconds = Annotated[float, msgspec.Meta(ge=1e-5, le=1e5)]
"""Bounds of a step's time that can be true: ten microseconds, and a day."""
TIMES = KeptEntries[tuple[str, float]](".steps.json", tuple[str, StepSeconds])
"""Seconds of every step that was measured before, by `step_key`."""


class TimingJob(msgspec.Struct, frozen=True):
    """Everything that a step's time depends on, besides the machine."""

    model: ModelConfig
    train: TrainConfig
    home: str


@functools.lru_cache(maxsize=4096)
def step_key(model: ModelConfig, train: TrainConfig) -> str:
    """Key of a measured time: the machine, the shape, and the settings that a step is computed with."""
    computed = (train.optimizer, train.device, train.precision, train.attention, train.threads)
    parts = [f"{name} {getattr(model, name)}" for name in ("layers", "heads", "width", "context", "vocab_size", "dropout")]
    parts += [f"batch {train.batch} in {train.accumulate}", *(str(each) for each in computed)]
    parts += [f"{train.ranks} ranks"] * (train.ranks > 1)
    return f"{_here()}: {', '.join(parts)}"


@functools.cache
def _here() -> str:
    return f"{processor()}, {cores()} cores, {gpu()}, torch {version('torch')}"


class StepTimer:
    """One measurement, which another thread may cancel."""

    def __init__(self, model: ModelConfig, train: TrainConfig, home: Path) -> None:
        self._job = TimingJob(model, train, str(home))
        self._process = MeasuringProcess("lab.training.time_steps", "the time of a step", train.threads)
        self.cancel = self._process.cancel

    @property
    def held_up(self) -> float:
        """Share of its time that it waited for a core, where Linux says so; 0 where it is small."""
        return self._process.held_up

    def measure(self, after: float = 0.0, waiting: Callable[[], None] = lambda: None) -> float | None:
        """Seconds of a step: the known time, or one measured now, in some seconds, and kept unless it was held up. None if it was
        cancelled.

        It waits for `after` seconds before it measures. `waiting` is called again and again meanwhile, and cancels by raising.
        Raises UserError if the steps cannot be computed, with the reason, or the time cannot be kept.
        """
        home, key = Path(self._job.home), step_key(self._job.model, self._job.train)
        if seconds := dict(TIMES.known(home)).get(key):
            return seconds
        output = self._process.run(msgspec.json.encode(self._job), waiting, after)
        if output is None:
            return None
        if not self.held_up:
            TIMES.keep(home, (key, float(output)), "the time of a step")
        return float(output)


HALF_SPEED_WIDTH = 128
"""Width at which a core reaches half of its speed: narrower matrices fill it less."""
NEARNESS = 0.05
"""Square of the difference of log FLOPs at which a measured step counts half as much as one of the same size."""

Steps = tuple[ModelConfig, TrainConfig]
"""Everything that decides how long a step takes here."""


class StepSpeed:
    """The speed of this machine, by the seconds of steps that were measured on it, by `step_key`."""

    def __init__(self, machine: Machine, measured: Mapping[str, float], candidates: Iterable[Steps] = ()) -> None:
        """`candidates` are the steps by which those that were not measured are guessed."""
        self.machine = machine
        self._measured = measured
        self._anchors = [
            (math.log(step_flops(steps)), math.log(seconds / guessed_step_seconds(steps, machine)))
            for steps in candidates
            if (seconds := measured.get(step_key(*steps)))
        ]

    def among(self, candidates: Iterable[Steps]) -> "StepSpeed":
        """The same, with these to guess by."""
        return StepSpeed(self.machine, self._measured, candidates)

    def is_measured(self, steps: Steps) -> bool:
        return step_key(*steps) in self._measured

    def seconds(self, steps: Steps) -> float:
        """Seconds of a step: as measured, else the guess times what the nearest anchors took over theirs."""
        if seconds := self._measured.get(step_key(*steps)):
            return seconds
        guess, flops = guessed_step_seconds(steps, self.machine), math.log(step_flops(steps))
        weights = [1 / ((flops - at) ** 2 + NEARNESS) for at, _ in self._anchors]
        ratios = sum(weight * ratio for weight, (_, ratio) in zip(weights, self._anchors, strict=True))
        return guess * math.exp(ratios / sum(weights)) if weights else guess


def step_flops(steps: Steps) -> float:
    model, train = steps
    return train.batch * model.context * flops_per_token(model)


def guessed_step_seconds(steps: Steps, machine: Machine) -> float:
    """Seconds of a step on a quick machine of this kind."""
    model, train = steps
    if machine.trains_on_gpu(train.device):
        return max(QUICKEST_GPU_STEP, step_flops(steps) / QUICK_FLOPS_PER_GPU)
    share = model.width / (model.width + HALF_SPEED_WIDTH)
    return step_flops(steps) / (machine.cores * QUICK_FLOPS_PER_CORE * share)
