import platform
import time

import psutil
import pytest

from lab.analysis.machine_usage import UsageMeter
from lab.runs.run_schema import Status
from lab.runs.schema_parts import GpuUse


def status_of_this_process() -> Status:
    process = psutil.Process()
    return Status(phase="training", pid=process.pid, pid_started=process.create_time(), host=platform.node())


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
    use = GpuUse(memory=10**9, total=80 * 10**9, busy=0.97)
    meter.sample(Status(phase="training", pid=status.pid, host="elsewhere", gpu=use))
    assert (meter.samples[-1].gpu, meter.samples[-1].gpu_memory) == (0.97, 10**9)
    assert (meter.samples[-1].trainer_cpu, meter.samples[-1].trainer_memory) == (None, None)
    other = UsageMeter()
    other.sample(Status(phase="training", pid=status.pid, pid_started=1.0, host=status.host))
    assert other.samples[-1].trainer_memory is None, "another process that got the number"
