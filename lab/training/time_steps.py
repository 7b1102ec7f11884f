"""Time of a training step: twenty steps on random tokens, in a process of its own.

`python -P -m lab.training.time_steps` reads a `TimingJob` from its input and prints the seconds of a step.
"""

import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import torch

from lab.core.errors import UserError
from lab.data.token_file import Ids
from lab.planning.compute_choice import choose_compute
from lab.planning.device import choose_device
from lab.planning.step_time import TimingJob
from lab.training.gradient_accumulation import GradientAccumulator
from lab.training.model_as_trained import ModelAsTrained
from lab.training.trainer_state import TrainerState
from models.config import ModelConfig
from models.gpt import autocast

WARM_UP = 3
STEPS = 20
SECONDS = 15.0
"""Time after which no further step is begun: a large model's few steps are enough."""
FEWEST = 2
LR = 1e-4
"""So low that random tokens do no harm."""


class RandomBatches:
    """The same random tokens for every step."""

    def __init__(self, model: ModelConfig, batch: int) -> None:
        self.batch, self.context = batch, model.context
        self._ids = np.random.default_rng(0).integers(model.vocab_size, size=(batch, model.context + 1))

    def at(self, step: int) -> tuple[Ids, Ids]:
        return self._ids[:, :-1].copy(), self._ids[:, 1:].copy()


def time_steps(job: TimingJob) -> float:
    """Seconds of a step: the lower quartile of twenty on random tokens, after a warm-up, computed as a run would.

    The time is kept, and other programs only ever make a step slower: a median would keep the load of a busy machine. Of a
    batch that several GPUs share it is one GPU's part; the time that they take to add up the gradients is not in it.
    """
    model_config, train = job.model, job.train
    device = choose_device(train.device)
    chosen = choose_compute(model_config, train, device, Path(job.home))
    torch.set_num_threads(chosen.threads)
    torch.set_float32_matmul_precision("high")
    trained = ModelAsTrained(model_config, train, device, seed=0)
    trained.set_arithmetic(chosen.precision, chosen.attention)
    trained.set_lr(LR)
    state = TrainerState(precision=chosen.precision)
    batches = RandomBatches(model_config, -(-train.batch // train.ranks) if device.type == "cuda" else train.batch)
    gradient = GradientAccumulator(trained, batches, state, lambda: autocast(chosen.precision, device.type))
    times: list[float] = []
    deadline = time.monotonic() + SECONDS
    while len(times) < WARM_UP + STEPS and (len(times) < FEWEST or time.monotonic() < deadline):
        started = time.perf_counter()
        gradient.compute(len(times))
        float(trained.clip_gradients())
        trained.optimizer.step()
        times.append(time.perf_counter() - started)
    return float(np.quantile(times[WARM_UP:] or times[1:], 0.25))


def main() -> int:
    try:
        seconds = time_steps(msgspec.json.decode(sys.stdin.buffer.read(), type=TimingJob))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{seconds!r}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
