"""Machine usage of a training: CPU, memory and, where there is one, the NVIDIA GPU. Not kept on disk."""

import importlib
import os
import platform
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

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
    """Bytes in use on the GPU, by all processes."""


class UsageMeter:
    """Takes a sample at most once in `SECONDS_BETWEEN`. For one thread at a time; the first sample may take long."""

    def __init__(self) -> None:
        self.samples: deque[Usage] = deque(maxlen=MOST)
        self.cores = psutil.cpu_count() or 1
        self.memory = int(psutil.virtual_memory().total)
        self._trainer: psutil.Process | None = None
        self._gpu: NvidiaGpu | None = None
        self._searched_gpu = False

    def sample(self, status: Status) -> None:
        """Sample the machine, and the run's trainer if it is alive here."""
        now = time.time()
        if self.samples and 0 <= now - self.samples[-1].at < SECONDS_BETWEEN:
            return
        cpu, memory = psutil.cpu_percent() / 100, psutil.virtual_memory()
        trainer_cpu, trainer_memory = self._trainer_usage(status)
        gpu, gpu_memory = self._gpu_usage(status)
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

    def _gpu_usage(self, status: Status) -> tuple[float | None, int | None]:
        if not status.device.startswith("cuda") or status.host != platform.node():
            return None, None
        if not self._searched_gpu:
            self._searched_gpu = True
            self._gpu = trainer_gpu(status)
        return self._gpu.usage() if self._gpu is not None else (None, None)


class NvidiaGpu:
    """One NVIDIA GPU through nvidia-ml-py."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        self.memory = int(nvml.nvmlDeviceGetMemoryInfo(handle).total)

    def usage(self) -> tuple[float | None, int | None]:
        """Utilization and bytes in use; None where the driver does not report them."""
        try:
            return (
                self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu / 100,
                int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used),
            )
        except self._nvml.NVMLError:
            return None, None


def trainer_gpu(status: Status) -> NvidiaGpu | None:
    """The trainer's GPU: the one that lists its process, else the device's index among CUDA_VISIBLE_DEVICES; None if unknown."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        for handle in handles:
            with suppress(nvml.NVMLError):  # some containers' drivers do not list processes
                if any(process.pid == status.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle)):
                    return NvidiaGpu(nvml, handle)
        number = int(status.device.partition(":")[2] or 0)
        shown = [int(part) for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip().isdecimal()]
        number = shown[number] if number < len(shown) else number
        return NvidiaGpu(nvml, handles[number]) if number < len(handles) else None
    except nvml.NVMLError:
        return None
