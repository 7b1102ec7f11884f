"""Threads that training computes on: the number asked for, one for a short step, or all cores but one.

Training then gives up one thread while other programs keep the cores busy: see `lab.training.training_clock`.
"""

from lab.runs.run_schema import TrainConfig
from models.config import ModelConfig
from models.parameter_count import flops_per_token

SHORT_STEP = 2e8
"""FLOPs of a step below which one thread computes it: it takes milliseconds either way."""


def default_threads(cores: int) -> int:
    """All of two cores or fewer; of more, one is left to the screen and to other programs."""
    return cores if cores <= 2 else cores - 1


def is_short_step(model: ModelConfig, train: TrainConfig) -> bool:
    """Whether a step is too short to gain from a second thread."""
    return flops_per_token(model) * model.context * train.batch < SHORT_STEP


def training_threads(model: ModelConfig, train: TrainConfig, cores: int, *, on_gpu: bool) -> int:
    """Threads of the trainer when the run begins."""
    if train.threads:
        return train.threads
    if on_gpu:
        return cores
    return 1 if is_short_step(model, train) else default_threads(cores)
