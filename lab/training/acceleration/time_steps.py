"""Time of a training step: twenty steps on random tokens, in a process of its own.

`python -P -m lab.training.acceleration.time_steps` reads a `TimingJob` from its input and prints the seconds of a step.
"""

import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import torch

from lab.core.errors import UserError
from lab.core.out_of_memory import free_memory, is_out_of_memory
from lab.planning.autotune import choose_compute
from lab.planning.device import choose_device
from lab.planning.estimates.measure_step_time import TimingJob
from lab.training.model_as_trained import ModelAsTrained
from models.gpt import autocast

WARM_UP = 3
STEPS = 20
SECONDS = 15.0
"""Time after which no further step is begun: a large model's few steps are enough."""
FEWEST = 2
LR = 1e-4
"""So low that random tokens do no harm."""


def time_steps(job: TimingJob) -> float:
    """Seconds of a step: the lower quartile of twenty on random tokens, after a warm-up, computed as a run would.

    The time is kept, and other programs only ever make a step slower: a median would keep the load of a busy machine. Where
    memory does not suffice, the step is split as the trainer does. Of a batch that several GPUs share it is one GPU's part; the
    time that they take to add up the gradients is not in it.
    """
    model_config, train = job.model, job.train
    device = choose_device(train.device)
    chosen = choose_compute(model_config, train, device, Path(job.home))
    torch.set_num_threads(chosen.threads)
    torch.set_float32_matmul_precision("high")
    trained = ModelAsTrained(model_config, train, device, seed=0)
    trained.set_arithmetic(chosen.precision, chosen.attention)
    trained.set_lr(LR)
    windows = -(-train.batch // train.ranks) if device.type == "cuda" else train.batch
    shape = (windows, model_config.context)
    ids, targets = (torch.randint(model_config.vocab_size, shape, device=device) for _ in range(2))

    def step(parts: int) -> None:
        trained.model.zero_grad(set_to_none=True)
        for part, target in zip(ids.tensor_split(parts), targets.tensor_split(parts), strict=True):
            with autocast(chosen.precision, device.type):
                loss = trained.model.loss(part, target)
            (loss * len(part) / len(ids)).backward()  # type: ignore[no-untyped-call]
        trained.clip_gradients()
        trained.optimizer.step()

    times: list[float] = []
    micro_batches = min(train.accumulate, windows)
    deadline = time.monotonic() + SECONDS
    while len(times) < WARM_UP + STEPS and (len(times) < FEWEST or time.monotonic() < deadline):
        started = time.perf_counter()
        try:
            step(micro_batches)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or micro_batches >= windows:
                raise
        else:
            times.append(time.perf_counter() - started)
            continue
        micro_batches = min(2 * micro_batches, windows)
        free_memory(device)  # only here the exception, and with it what the attempt had allocated, is gone
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
