"""What training takes of the machine: processor, memory and, where there is one, the NVIDIA card. It is not kept on disk."""

import importlib
import os
import platform
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import psutil  # type: ignore[import-untyped]

from lab.runs.run_schema import Status

SECONDS_BETWEEN = 1.0
"""Shorter spans make the processor's share jump."""
MOST = 600
"""Samples kept: ten minutes."""


@dataclass(frozen=True)
class Usage:
    """One sample. What the trainer takes is None where it is not on this machine or gone; of the card, where there is none."""

    at: float
    """Unix time in seconds."""
    cpu: float
    """Share of all cores of this machine that are busy, 0 to 1."""
    memory: int
    """Bytes in use."""
    trainer_cpu: float | None = None
    """Cores that the trainer keeps busy."""
    trainer_memory: int | None = None
    """Bytes of main memory that the trainer has to itself or shares."""
    gpu: float | None = None
    """Share of the time in which the card computes, 0 to 1."""
    gpu_memory: int | None = None
    """Bytes in use on the card, by whomever."""


class UsageMeter:
    """Samples at most once in `SECONDS_BETWEEN`. For one thread at a time; the first sample may take long."""

    def __init__(self) -> None:
        self.samples: deque[Usage] = deque(maxlen=MOST)
        self.cores = psutil.cpu_count() or 1
        self.memory = int(psutil.virtual_memory().total)
        self._trainer: psutil.Process | None = None
        self._card: Card | None = None
        self._asked_for_card = False

    def sample(self, status: Status) -> None:
        """Looks at the machine, and at the run's trainer if it is alive here."""
        now = time.time()
        if self.samples and 0 <= now - self.samples[-1].at < SECONDS_BETWEEN:
            return
        cpu, memory = psutil.cpu_percent() / 100, psutil.virtual_memory()
        trainer_cpu, trainer_memory = self._look_at_trainer(status)
        gpu, gpu_memory = self._look_at_card(status)
        used = int(memory.total - memory.available)
        self.samples.append(Usage(now, cpu, used, trainer_cpu, trainer_memory, gpu, gpu_memory))

    def _look_at_trainer(self, status: Status) -> tuple[float | None, int | None]:
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

    def _look_at_card(self, status: Status) -> tuple[float | None, int | None]:
        if not status.device.startswith("cuda") or status.host != platform.node():
            return None, None
        if not self._asked_for_card:
            self._asked_for_card = True
            self._card = card_of(status)
        return self._card.look() if self._card is not None else (None, None)


class Card:
    """One NVIDIA card through nvidia-ml-py."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        self.memory = int(nvml.nvmlDeviceGetMemoryInfo(handle).total)

    def look(self) -> tuple[float | None, int | None]:
        """Share of the time in which it computes, and bytes in use; None for what the driver does not tell."""
        try:
            return (
                self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu / 100,
                int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used),
            )
        except self._nvml.NVMLError:
            return None, None


def card_of(status: Status) -> Card | None:
    """The card that the trainer computes on: the one that lists its process, else the one of the device's number among those that
    CUDA_VISIBLE_DEVICES shows. None without nvidia-ml-py, which is optional, or a driver."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        for handle in handles:
            if any(process.pid == status.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle)):
                return Card(nvml, handle)
        number = int(status.device.partition(":")[2] or 0)
        shown = [int(part) for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip().isdecimal()]
        number = shown[number] if number < len(shown) else number
        return Card(nvml, handles[number]) if number < len(handles) else None
    except nvml.NVMLError:
        return None
