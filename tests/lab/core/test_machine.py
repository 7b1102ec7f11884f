import os
import sys
import time
from pathlib import Path
from subprocess import Popen

import psutil
import pytest

from lab.core import machine


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty file system that the module reads instead of this machine's."""
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    for cached in (machine.cores, machine.memory, machine.processor):
        cached.cache_clear()
        monkeypatch.setattr(machine, cached.__name__, cached.__wrapped__)
    return tmp_path


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_facts_agree_with_psutil_where_no_group_limits_them(root: Path) -> None:
    assert machine.memory() == psutil.virtual_memory().total
    assert machine.cores() == len(psutil.Process().cpu_affinity() or []) or not hasattr(os, "sched_getaffinity")


GROUP, CPU, INNER = "proc/self/cgroup", "sys/fs/cgroup/box/cpu.max", "sys/fs/cgroup/box/inner/cpu.max"
OLD_CPU, OLD_MEMORY = "sys/fs/cgroup/cpu/cpu.cfs_{}_us", "sys/fs/cgroup/memory/memory.limit_in_bytes"
OLD_GROUPS = "4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n"


@pytest.mark.parametrize(
    ("files", "cores", "memory"),
    [
        ({GROUP: "0::/box/inner\n", CPU: "350000 100000\n", INNER: "max 100000\n"}, 3, None),
        ({GROUP: "0::/box\n", CPU: "50000 100000\n"}, 1, None),
        (
            {GROUP: OLD_GROUPS, OLD_CPU.format("quota"): "-1", OLD_CPU.format("period"): "100000", OLD_MEMORY: "1000000"},
            64,
            1_000_000,
        ),
        ({GROUP: "0::/\n", "sys/fs/cgroup/memory.max": "123456789\n"}, 64, 123_456_789),
    ],
    ids=["a parent's quota", "less than a core", "cgroup version 1", "memory"],
)
def test_cores_and_memory_are_cut_to_the_limits_of_the_group(
    root: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int, memory: int | None
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    for name, text in files.items():
        put(root, name, text)
    assert machine.cores() == cores
    assert memory in (None, machine.memory())


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nmodel name\t: Intel(R) Xeon(R)  CPU @ 2.20GHz\n", "Intel Xeon CPU @ 2.20GHz"),
        ("model name\t: unknown\n", os.uname().machine),
        ("BogoMIPS\t: 48.00\n", os.uname().machine),
    ],
)
def test_processor(root: Path, cpuinfo: str, name: str) -> None:
    put(root, "proc/cpuinfo", cpuinfo)
    assert machine.processor() == name


def test_graphics_cards_by_name_and_only_if_torch_can_use_them(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.nvidia_gpus() == []
    assert machine.no_cuda_reason() == "this machine shows no NVIDIA GPU"
    put(root, "dev/nvidia0", "")
    put(root, "dev/nvidiactl", "")
    assert machine.nvidia_gpus() == ["NVIDIA GPU"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "torch_has_cuda", lambda: True)
    assert machine.has_cuda()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not machine.has_cuda()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(machine, "torch_has_cuda", lambda: False)
    assert machine.no_cuda_reason() == "the installed torch was built without CUDA"
    put(root, "proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 42\n")
    assert machine.nvidia_gpus() == ["NVIDIA H100 80GB HBM3"]


def test_a_container_counts_the_cards_that_it_has_devices_of(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for minor, name in enumerate(("NVIDIA A10", "NVIDIA L4", "NVIDIA A30")):
        information = f"Model: \t {name}\nGPU UUID: \t GPU-{minor}ab\nDevice Minor: \t {minor}\n"
        put(root, f"proc/driver/nvidia/gpus/0000:0{minor}:00.0/information", information)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "torch_has_cuda", lambda: True)
    assert (machine.gpu_count(), machine.gpu()) == (3, "NVIDIA A10")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert (machine.gpu_count(), machine.gpu()) == (2, "NVIDIA A30")
    for shown, named in (("GPU-1ab", "NVIDIA L4"), ("GPU-2", "NVIDIA A30"), ("GPU-9", "NVIDIA GPU"), ("7", "NVIDIA GPU")):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
        assert machine.gpu() == named
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    put(root, "dev/nvidia1", "")
    assert (machine.gpu_count(), machine.gpu()) == (1, "NVIDIA L4")


def test_torch_has_cuda_agrees_with_torch() -> None:
    import torch

    assert machine.torch_has_cuda() == (torch.version.cuda is not None)


def test_short_memory_a_benchmark_and_busy_cores_leave_no_spare_capacity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: machine.LEAST_MEMORY)
    monkeypatch.setattr(machine, "benchmark_runs", lambda: False)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: 10.0)
    assert machine.has_spare_capacity()
    for module, name, value in (
        (machine, "available_memory", lambda: machine.LEAST_MEMORY - 1),
        (machine, "benchmark_runs", lambda: True),
        (psutil, "cpu_percent", lambda interval: 41.0),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            assert not machine.has_spare_capacity(), name


def test_a_benchmark_is_found_by_its_command_line() -> None:
    program = Popen([sys.executable, "-c", "import sys, time; time.sleep(60)", "lab.bench.made_up"])
    try:
        end = time.monotonic() + 10
        while not machine.benchmark_runs() and time.monotonic() < end:
            time.sleep(0.05)
        assert machine.benchmark_runs()
    finally:
        program.kill()
        program.wait()
