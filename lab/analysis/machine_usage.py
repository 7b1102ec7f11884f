"""Machine usage of a training: CPU, memory and, as its trainer tells it, the NVIDIA GPU. Not kept on disk."""

import platform
import time
from collections import deque
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]

from lab.runs.run_schema import Status

SECONDS_BETWEEN = 1.0
"""Shorter intervals make the CPU share jump."""
MOST = 600
"""Samples kept: ten minutes of them."""


@dataclass(frozen=True)
class Usage:
    """One sample. The trainer's figures are None if it has ended or runs elsewhere, the GPU's if there is no GPU."""

    at: float
    """Unix time in seconds."""
    cpu: float
    """Share of all cores of this machine that are busy, 0 to 1."""
    memory: int
    """Bytes in use."""
    trainer_cpu: float | None = None
    """Cores kept busy by the trainer."""
    trainer_memory: int | None = None
    """Resident memory of the trainer in bytes."""
    gpu: float | None = None
    """Utilization of the GPU, 0 to 1."""
    gpu_memory: int | None = None
    """The most that the trainer's tensors took of the GPU at one time, in bytes."""


class UsageMeter:
    """Takes a sample at most once in `SECONDS_BETWEEN`. For one thread at a time."""

    def __init__(self) -> None:
        self.samples: deque[Usage] = deque(maxlen=MOST)
        self.cores = psutil.cpu_count() or 1
        self.memory = int(psutil.virtual_memory().total)
        self._trainer: psutil.Process | None = None

    def sample(self, status: Status) -> None:
        """Sample the machine, and the run's trainer if it is alive here."""
        now = time.time()
        if self.samples and 0 <= now - self.samples[-1].at < SECONDS_BETWEEN:
            return
        cpu, memory = psutil.cpu_percent() / 100, psutil.virtual_memory()
        trainer_cpu, trainer_memory = self._trainer_usage(status)
        gpu, gpu_memory = (status.gpu.busy, status.gpu.memory) if status.gpu is not None else (None, None)
        used = int(memory.total - memory.available)
        self.samples.append(Usage(now, cpu, used, trainer_cpu, trainer_memory, gpu, gpu_memory))

    def _trainer_usage(self, status: Status) -> tuple[float | None, int | None]:
        if status.host != platform.node():
            return None, None
        try:
            if self._trainer is None or self._trainer.pid != status.pid:
                found = psutil.Process(status.pid)
                if abs(found.create_time() - status.pid_started) > 1:
                    return None, None  # another process that got its number
                self._trainer = found
                found.cpu_percent()  # counts from here on
                return None, int(found.memory_info().rss)
            return self._trainer.cpu_percent() / 100, int(self._trainer.memory_info().rss)
        except psutil.Error:
            self._trainer = None
            return None, None
