"""Measure the time of one training step on this machine: twenty steps in a subprocess; the result is cached.

`python -P -m lab.planning.estimates.measure_step_time` reads a `TimingJob` from its input and prints the seconds. Imports nothing
heavy; that process does.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from lab.core.atomic_io import os_error_in_words, write_atomic
from lab.core.detached_process import torch_environment
from lab.core.errors import DamagedFileError, UserError
from lab.core.machine import cores, gpu, processor
from lab.core.safe_open import LARGEST_CONFIG, read_json
from lab.runs.run_schema import TrainConfig
from models.config import ModelConfig

FILE = ".steps.json"
"""File of measured step times, in the folder of runs."""
WARM_UP = 3
STEPS = 20
SECONDS = 15.0
"""Time after which no further step is begun: a large model's few steps are enough."""
FEWEST = 2
SECONDS_BETWEEN_CALLS = 0.2
"""Longest time without a call of `waiting` while it measures."""


class TimingJob(msgspec.Struct, frozen=True):
    """Everything that a step's time depends on, besides the machine."""

    model: ModelConfig
    train: TrainConfig
    home: str


def step_key(model: ModelConfig, train: TrainConfig) -> str:
    """Key of a measured time: the machine, the shape, and the settings that a step is computed with."""
    computed = (train.optimizer, train.device, train.precision, train.attention, train.threads)
    parts = [f"{name} {getattr(model, name)}" for name in ("layers", "heads", "width", "context", "vocab_size", "dropout")]
    parts += [f"batch {train.batch} in {train.accumulate}", *(str(each) for each in computed)]
    parts += [f"{train.ranks} ranks"] * (train.ranks > 1)
    return f"{processor()}, {cores()} cores, {gpu()}: {', '.join(parts)}"


def known_step_seconds(model: ModelConfig, train: TrainConfig, home: Path) -> float | None:
    """Seconds of a step as measured before, or None."""
    return _read(home).get(step_key(model, train))


def _read(home: Path) -> dict[str, float]:
    try:
        return read_json(home / FILE, dict[str, float], LARGEST_CONFIG)
    except (OSError, DamagedFileError):
        return {}  # nothing is lost: it is measured again


class StepTimer:
    """One measurement, which another thread may cancel."""

    def __init__(self, model: ModelConfig, train: TrainConfig, home: Path) -> None:
        self._job = TimingJob(model, train, str(home))
        self._process: subprocess.Popen[bytes] | None = None
        self._cancelled = threading.Event()

    def measure(self, after: float = 0.0, waiting: Callable[[], None] = lambda: None) -> float | None:
        """Seconds of a step: the known time, or one measured now, in some seconds, and kept. None if it was cancelled.

        It waits for `after` seconds before it measures. `waiting` is called again and again meanwhile, and cancels by raising.

        Raises:
            UserError: if the steps cannot be computed, with the reason, or the time cannot be kept.
        """
        home = Path(self._job.home)
        if seconds := known_step_seconds(self._job.model, self._job.train, home):
            return seconds
        if self._cancelled.wait(after):
            return None
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise os_error_in_words(error, f"keep the time of a step in {home}") from error
        command = [sys.executable, "-P", "-m", "lab.planning.estimates.measure_step_time"]
        environment = torch_environment(self._job.train.threads)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        if self._cancelled.is_set():
            self._process.kill()
        output, errors = self._communicate(self._process, waiting)
        if self._cancelled.is_set():
            return None
        if self._process.returncode:
            last = (errors.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise UserError(f"The time of a step could not be measured: {last}")
        seconds = float(output)
        try:
            write_atomic(home / FILE, msgspec.json.format(msgspec.json.encode(_read(home) | {self._key: seconds}), indent=1))
        except OSError as error:
            raise os_error_in_words(error, f"keep the time of a step in {home}") from error
        return seconds

    def _communicate(self, process: "subprocess.Popen[bytes]", waiting: Callable[[], None]) -> tuple[bytes, bytes]:
        job: bytes | None = msgspec.json.encode(self._job)
        try:
            while True:
                try:
                    return process.communicate(job, timeout=SECONDS_BETWEEN_CALLS)
                except subprocess.TimeoutExpired:
                    job = None
                    waiting()
        except BaseException:
            process.kill()
            process.communicate()
            raise

    @property
    def _key(self) -> str:
        return step_key(self._job.model, self._job.train)

    def cancel(self) -> None:
        """End the measurement, if it runs."""
        self._cancelled.set()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()


def time_steps(job: TimingJob) -> float:
    """Seconds of a step: the lower quartile of twenty on random tokens, after a warm-up, computed as a run would.

    The time is kept, and other programs only ever make a step slower: a median would keep the load of a busy machine. Where
    memory does not suffice, the step is split as the trainer does. Of a batch that several GPUs share it is one GPU's part; the
    time that they take to add up the gradients is not in it.
    """
    import numpy as np
    import torch

    from lab.core.out_of_memory import free_memory, is_out_of_memory
    from lab.planning.autotune import choose_compute
    from lab.planning.device import choose_device
    from models.gpt import GPT, autocast
    from models.optimizers import make_optimizer, muon_dtype, set_muon_dtype

    model_config, train = job.model, job.train
    device = choose_device(train.device)
    chosen = choose_compute(model_config, train, device, Path(job.home))
    torch.set_num_threads(chosen.threads)
    torch.set_float32_matmul_precision("high")
    model = GPT(model_config, seed=0).to(device)
    model.set_attention_kernel(chosen.attention)
    optimizer = make_optimizer(model, 1e-4, train.weight_decay, (train.beta1, train.beta2), train.optimizer)
    set_muon_dtype(optimizer, muon_dtype(chosen.precision, device.type))
    windows = -(-train.batch // train.ranks) if device.type == "cuda" else train.batch
    shape = (windows, model_config.context)
    ids, targets = (torch.randint(model_config.vocab_size, shape, device=device) for _ in range(2))

    def step(parts: int) -> None:
        model.zero_grad(set_to_none=True)
        for part, target in zip(ids.tensor_split(parts), targets.tensor_split(parts), strict=True):
            with autocast(chosen.precision, device.type):
                loss = model.loss(part, target)
            (loss * len(part) / len(ids)).backward()  # type: ignore[no-untyped-call]
        float(torch.nn.utils.clip_grad_norm_(model.parameters(), train.clip))
        optimizer.step()

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
