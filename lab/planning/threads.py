"""Number of threads that torch computes on, for training, for writing text, and in the engine.

A trainer gives up one of its threads while other programs keep the cores busy: see `lab.training.thread_back_off`.
"""

from lab.runs.run_schema import TrainConfig
from models.config import ModelConfig
from models.parameter_count import flops_per_token, parameter_count

SHORT_STEP = 2e8
"""FLOPs of a step below which one thread computes it: it takes milliseconds either way."""

SMALL_MODEL = 30_000_000
"""Parameters up to which one thread computes a token as fast as several, also beside a training on all cores."""
MOST_ENGINE_THREADS = 4
"""The engine shares the cores with training, and its models are small."""
MOST_ENGINE_THREADS_BESIDE_GPU = 8
"""Where there is a GPU, it trains as a rule, so that cores are free, and models are larger."""


def default_threads(cores: int) -> int:
    """All of two cores or fewer; of more, one is left to the screen and to other programs."""
    return cores if cores <= 2 else cores - 1


def is_short_step(model: ModelConfig, train: TrainConfig) -> bool:
    """True if a step is too short to gain from a second thread."""
    return flops_per_token(model) * model.context * train.batch < SHORT_STEP


def training_threads(model: ModelConfig, train: TrainConfig, cores: int, *, on_gpu: bool) -> int:
    """Threads of the trainer when the run begins."""
    if train.threads:
        return train.threads
    if on_gpu:
        return cores
    return 1 if is_short_step(model, train) else default_threads(cores)


def generation_threads(model: ModelConfig, cores: int) -> int:
    """Threads of a command that writes text, token by token."""
    return cores if parameter_count(model) > SMALL_MODEL else 1


def engine_threads(cores: int, *, beside_gpu: bool) -> int:
    """Threads of the engine: half of the cores, for a training run may need the others."""
    most = MOST_ENGINE_THREADS_BESIDE_GPU if beside_gpu else MOST_ENGINE_THREADS
    return max(1, min(most, cores // 2))
