"""Spare capacity of this machine: idle cores and free memory, for work that nobody has asked for yet."""

import os

import psutil  # type: ignore[import-untyped]

from lab.core.machine import memory, memory_of_group

SECONDS_WATCHED = 1.0
"""Time over which the cores are watched."""

MOST_BUSY = 0.4
"""Share of all cores that may be busy."""

LEAST_MEMORY = 2 << 30
"""Bytes that must be free: several times what an engine with a small model takes."""

BENCHMARK = ("llmlab bench", "lab.bench.")
"""Parts of the command line of a process that measures this machine."""


def has_spare_capacity() -> bool:
    """True if most cores idle, memory is free and no benchmark runs here. Takes a second: for a thread."""
    if available_memory() < LEAST_MEMORY or benchmark_runs():
        return False
    return bool(psutil.cpu_percent(SECONDS_WATCHED) / 100 <= MOST_BUSY)


def available_memory() -> int:
    """Bytes that a new process could take, also within the limit of this process's control group."""
    return int(min(psutil.virtual_memory().available, memory() - memory_of_group()))


def benchmark_runs() -> bool:
    """True if a process measures this machine now."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        line = " ".join([os.path.basename(word) if at < 2 else word for at, word in enumerate(words)])
        if process.pid != os.getpid() and any(part in line for part in BENCHMARK):
            return True
    return False
