import platform
import sys
import time
from types import ModuleType, SimpleNamespace

import psutil
import pytest

from lab.analysis.machine_usage import UsageMeter
from lab.runs.run_schema import Status


def status_of_this_process(device: str = "cpu") -> Status:
    process = psutil.Process()
    return Status(phase="training", pid=process.pid, pid_started=process.create_time(), host=platform.node(), device=device)


def test_usage_is_that_of_the_trainer_s_process_and_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("lab.analysis.machine_usage.time.time", lambda: now[0])
    meter, status = UsageMeter(), status_of_this_process()
    meter.sample(status)
    now[0] += 0.5
    meter.sample(status)
    assert len(meter.samples) == 1, "too soon"
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    now[0] += 0.6
    meter.sample(status)
    last = meter.samples[-1]
    assert last.trainer_memory == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert last.trainer_cpu is not None
    assert 0.05 < last.trainer_cpu < meter.cores + 1
    assert 0 < last.memory < meter.memory
    assert (last.gpu, last.gpu_memory) == (None, None)
    now[0] += 2
    meter.sample(Status(phase="training", pid=status.pid, host="elsewhere"))
    assert (meter.samples[-1].trainer_cpu, meter.samples[-1].trainer_memory) == (None, None)
    other = UsageMeter()
    other.sample(Status(phase="training", pid=status.pid, pid_started=1.0, host=status.host))
    assert other.samples[-1].trainer_memory is None, "another process that got the number"


def fake_nvml(busy: list[int], owners: dict[int, int]) -> ModuleType:
    """nvidia-ml-py's functions that are used, for cards of which each is as busy, and owned by a process."""
    module = ModuleType("pynvml")
    module.__dict__.update(
        NVMLError=type("NVMLError", (Exception,), {}),
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(busy),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetComputeRunningProcesses=lambda card: [SimpleNamespace(pid=owners[card])] if card in owners else [],
        nvmlDeviceGetUtilizationRates=lambda card: SimpleNamespace(gpu=busy[card]),
        nvmlDeviceGetMemoryInfo=lambda card: SimpleNamespace(used=card * 10**9, total=80 * 10**9),
    )
    return module


def test_the_card_is_the_one_that_lists_the_trainer_else_that_of_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status = status_of_this_process("cuda:1")
    for owners, shown, expected in (({2: status.pid}, "", 2), ({}, "", 1), ({}, "0,3", 3)):
        monkeypatch.setitem(sys.modules, "pynvml", fake_nvml([10, 20, 30, 40], owners))
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
        meter = UsageMeter()
        meter.sample(status)
        assert meter.samples[-1].gpu == pytest.approx((expected + 1) / 10)
        assert meter.samples[-1].gpu_memory == expected * 10**9
    module = fake_nvml([10, 20], {})

    def refuse(card: int) -> None:
        raise module.NVMLError

    module.__dict__["nvmlDeviceGetComputeRunningProcesses"] = refuse
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for nvml, expected in ((module, pytest.approx(0.2)), (None, None)):
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        meter = UsageMeter()
        meter.sample(status_of_this_process("cuda:1"))
        assert meter.samples[-1].gpu == expected
