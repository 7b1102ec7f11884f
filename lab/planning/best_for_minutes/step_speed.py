"""Seconds of a training step of any shape on this machine: measured where it was, else by the nearest that were."""

import math
from collections.abc import Iterable, Mapping

from lab.core.machine import Machine
from lab.planning.default_hyperparameters import QUICK_FLOPS_PER_CORE, QUICK_FLOPS_PER_GPU, QUICKEST_GPU_STEP
from lab.planning.estimates.measure_step_time import step_key
from lab.runs.run_schema import TrainConfig
from models.config import ModelConfig
from models.parameter_count import flops_per_token

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
