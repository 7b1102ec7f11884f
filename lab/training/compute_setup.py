"""How a run's steps are computed on this machine: precision, threads, fewer beside busy programs, and the use of the GPU."""

import importlib
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from msgspec import UNSET

from lab.core.machine import cores, gpu
from lab.planning.device import describe_card, emulates, peak_flops, processor_of, utilization
from lab.runs.run_schema import TrainConfig
from lab.runs.schema_parts import GpuUse
from lab.training.loss_scaling import describe_skipped
from lab.training.model_as_trained import is_compiled
from lab.training.trainer_state import TrainerState
from models.config import ModelConfig, Precision
from models.gpt import autocast
from models.parameter_count import flops_per_token

SLOW = 2.0
"""Multiple of its best duration that a step may take before threads are given up."""
STARVED = 0.8
"""Share of its threads' time: a trainer that gets less of the cores may be slowed by other processes, even if it never was
faster, and tries one thread fewer."""
WINDOW_SECONDS = 2.0
WINDOW_STEPS = 8
"""Least time and steps between decisions: one slow step is no sign of a busy machine."""
FIRST_WAIT = 20.0
LONGEST_WAIT = 640.0
"""Seconds until all threads are tried again; doubled each time that they were no faster."""


class ThreadBackOff:
    """Number of threads to compute with: all that were chosen, or one fewer while other processes keep the cores busy.

    Threads wait for each other several thousand times a step, so that one of them on a core that others use stalls all: a second
    thread beside a busy process was measured at 1% of its speed, where one thread alone lost 7%. The steps' own time tells, since
    in a container nothing else does.
    """

    def __init__(self, threads: int, now: int | None = None) -> None:
        """`threads` were chosen, `now` are in use, both at least 1."""
        self.most = threads
        self.threads = now or threads
        self._best = math.inf
        self._times: list[float] = []
        self._cpu_time = 0.0
        self._fewer_may_help = True
        self._wait = FIRST_WAIT
        self._since_fewer = 0.0
        self._fewer_took = self._all_took = math.inf

    def after(self, seconds: float, processor_seconds: float = math.inf) -> int:
        """Threads for the next step, after one of this duration and CPU time of all cores together."""
        if self.most == 1:
            return self.threads
        self._times.append(seconds)
        self._cpu_time += processor_seconds
        self._since_fewer += seconds if self.threads < self.most else 0.0
        if sum(self._times) < WINDOW_SECONDS or len(self._times) < WINDOW_STEPS:
            return self.threads
        took = sorted(self._times)[len(self._times) // 2]
        starved = self._cpu_time < STARVED * self.threads * sum(self._times)
        self._times.clear()
        self._cpu_time = 0.0
        if self.threads == self.most:
            if (starved and self._fewer_may_help and self._fewer_took == math.inf) or took > min(
                SLOW * self._best, self._fewer_took
            ):
                self._wait = FIRST_WAIT if self._fewer_took == math.inf else min(2 * self._wait, LONGEST_WAIT)
                self.threads, self._all_took = self.most - 1, took
            else:
                self._wait = FIRST_WAIT
                self._fewer_may_help &= self._fewer_took == math.inf
            self._best = min(self._best, took)
            self._fewer_took = math.inf
        elif took > self._all_took:
            self.threads, self._since_fewer, self._fewer_may_help = self.most, 0.0, False
        elif self._since_fewer >= self._wait:
            self._fewer_took, self._since_fewer, self.threads = took, 0.0, self.most
        return self.threads


class ComputeSetup:
    """Precision and threads of a run's steps. Threads that the user asked for are never given up to other processes."""

    def __init__(self, train: TrainConfig, state: TrainerState, device: torch.device, local_ranks: int = 1) -> None:
        """`local_ranks` processes of this machine share its cores."""
        self._state = state
        self._device = device
        self._setting, self._average = train.compile, train.average
        threads = max(1, (train.threads or state.threads or cores()) // local_ranks)
        # Beside a GPU they cost little, and compiled code is compiled anew for another number.
        is_fixed = bool(train.threads) or local_ranks > 1 or device.type != "cpu"
        now = threads if is_fixed else state.threads_now or threads
        torch.set_num_threads(now)
        self._back_off = ThreadBackOff(1 if is_fixed else threads, now)
        self._cpu_seconds = time.process_time()
        self._here = processor_of(device)
        self._is_second_choice = train.device == "auto" and device.type == "cpu" and local_ranks == 1 and gpu() is not None

    def autocast(self) -> AbstractContextManager[None]:
        return autocast(self._state.precision, self._device.type)

    def adjust_threads(self, step_seconds: float) -> bool:
        """Use fewer threads while other processes keep the cores busy; True if their number has changed."""
        used, self._cpu_seconds = time.process_time() - self._cpu_seconds, time.process_time()
        before, threads = self._back_off.threads, self._back_off.after(step_seconds, used)
        if threads == before:
            return False
        torch.set_num_threads(threads)
        self._state.threads_now = threads
        return True

    @property
    def threads(self) -> int:
        return self._back_off.threads

    def describe(self) -> str:
        """Precision, attention kernel and threads, with the reason."""
        state, words = self._state, self._state.computed
        if state.begun_on not in (UNSET, self._here):
            words = f"{state.precision}, as the run began on {state.begun_on}"
            if self._device.type == "cuda" and emulates(describe_card(self._device), state.precision):
                words += f", though {self._here} only emulates it"
        elif self._back_off.threads < self._back_off.most:
            words += f", now {self._back_off.threads}, since others keep the cores busy"
        if self._is_second_choice:
            words += f"; on the CPU, since torch cannot use the {gpu()}"
        if self._average:
            words += f", the average of the weights over the latest {self._average:.0%} of the steps evaluated and kept"
        return words + ", compiled" * is_compiled(state, self._setting, self._device) + describe_skipped(state)


GPU_SECONDS = 2.0
"""Time between two measurements of the GPU."""


class GpuMeter:
    """Meter of one card; it measures nothing on another device."""

    def __init__(
        self,
        name: str,
        model: ModelConfig,
        precision: Precision,
        read: Callable[[], tuple[int, int, float | None]] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read` gives the memory taken and that of the card in bytes, and the share of time in which it is busy, if known."""
        self._peak = peak_flops(name, precision)
        self._flops = flops_per_token(model)
        self._read = read
        self._clock = clock
        self._at: float | None = None

    def measure(self, tokens_per_second: float) -> GpuUse | None:
        """The use of the GPU, at this speed of its own; None without one, or if the last measurement is fresh."""
        now = self._clock()
        if self._read is None or (self._at is not None and now - self._at < GPU_SECONDS):
            return None
        self._at = now
        memory, total, busy = self._read()
        mfu = utilization(tokens_per_second, self._flops, self._peak)
        return GpuUse(memory=memory, total=total, busy=busy, mfu=None if mfu is None else min(10.0, round(mfu, 4)))


def meter_of(device: torch.device, model: ModelConfig, precision: Precision) -> GpuMeter:
    """The meter of a run on this device."""
    if device.type != "cuda":
        return GpuMeter("", model, precision, None)
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.reset_peak_memory_stats(device)  # what was tried before the first step is not counted
    return GpuMeter(
        torch.cuda.get_device_name(device),
        model,
        precision,
        lambda: (torch.cuda.max_memory_allocated(device), total, _busy(device)),
    )


def _busy(device: torch.device) -> float | None:
    """Utilization by NVML; None without nvidia-ml-py, which is optional, and where the driver does not tell it."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        return torch.cuda.utilization(device) / 100
    except (RuntimeError, nvml.NVMLError):
        return None
