"""Memory, utilization and model FLOPs utilization of the GPU that trains, measured now and then."""

import importlib
import time
from collections.abc import Callable

import torch

from lab.planning.device import peak_flops, utilization
from lab.runs.schema_parts import GpuUse
from models.config import ModelConfig, Precision
from models.parameter_count import flops_per_token

SECONDS = 2.0
"""Time between two measurements."""


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
        if self._read is None or (self._at is not None and now - self._at < SECONDS):
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
