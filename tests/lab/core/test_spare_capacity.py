"""Spare capacity, on made-up machines."""

import sys
import time
from subprocess import Popen

import psutil
import pytest

from lab.core import machine
from lab.core.machine import LEAST_MEMORY, benchmark_runs, has_spare_capacity


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: LEAST_MEMORY)
    monkeypatch.setattr(machine, "benchmark_runs", lambda: False)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: 10.0)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("name", "value"),
    [("available_memory", lambda: LEAST_MEMORY - 1), ("benchmark_runs", lambda: True)],
)
def test_neither_short_memory_nor_a_benchmark_leaves_any(name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_spare_capacity()
    monkeypatch.setattr(machine, name, value)
    assert not has_spare_capacity()


@pytest.mark.usefixtures("idle")
def test_busy_cores_leave_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: 41.0)
    assert not has_spare_capacity()


def test_a_benchmark_is_found_by_its_command_line() -> None:
    program = Popen([sys.executable, "-c", "import sys, time; time.sleep(60)", "lab.bench.made_up"])
    try:
        end = time.monotonic() + 10
        while not benchmark_runs() and time.monotonic() < end:
            time.sleep(0.05)
        assert benchmark_runs()
    finally:
        program.kill()
        program.wait()
