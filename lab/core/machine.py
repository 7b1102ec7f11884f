"""This machine's processor, cores, memory and GPU, and how busy they are. Found without torch, in time for the first paint."""

import functools
import itertools
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lab.core.errors import UserError
from lab.core.number_format import bytes_

ROOT = Path("/")
"""Parent of proc, sys and dev; tests put their own tree here."""


@dataclass(frozen=True)
class Machine:
    processor: str
    cores: int
    """Cores that this process may use, which a container or taskset can make fewer than the machine has."""
    memory: int
    """Bytes that this process may use, at most."""
    gpu: str | None
    """Name of the first graphics card that training can use, if there is one."""
    gpus: int = 0
    """Number of NVIDIA cards that training can use."""

    def trains_on_gpu(self, device: str) -> bool:
        """True if a run with this device setting, "auto" or a torch device, computes on a GPU here."""
        return device.startswith(("cuda", "mps")) or (device == "auto" and self.gpu is not None)

    def trains_in_main_memory(self, device: str) -> bool:
        """True if such a run computes in `memory`: on the processor, or on a Mac, whose GPU shares it."""
        return not (device.startswith("cuda") or (device == "auto" and self.gpus > 0))


def machine() -> Machine:
    return Machine(processor=processor(), cores=cores(), memory=memory(), gpu=gpu(), gpus=gpu_count())


def _read(*names: str) -> str:
    """The first 4 KB of a small file of the kernel; empty where it does not exist."""
    try:
        with ROOT.joinpath(*names).open("rb") as file:
            return file.read(4096).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _cgroup_limits(controller: str, name: str) -> list[str]:
    """Contents of the limit files `name` that hold for this process: its own group's and every parent's (cgroup 2 and 1)."""
    found = []
    for line in _read("proc", "self", "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = ("sys", "fs", "cgroup", controller) if controllers else ("sys", "fs", "cgroup")
        parts = [part for part in path.split("/") if part]
        found += [text for end in range(len(parts) + 1) if (text := _read(*base, *parts[:end], name))]
    return found


@functools.cache
def cores() -> int:
    """Cores this process may use: its affinity, cut to the CPU quota of its control group."""
    limits = [float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)]
    for text in _cgroup_limits("cpu", "cpu.max"):
        quota, period = text.split()
        if quota != "max":
            limits.append(int(quota) / int(period))
    quotas, periods = (_cgroup_limits("cpu", f"cpu.cfs_{what}_us") for what in ("quota", "period"))
    limits += [int(quota) / int(period) for quota, period in zip(quotas, periods, strict=False) if int(quota) > 0]
    return max(1, int(min(limits)))


@functools.cache
def memory() -> int:
    """Bytes of main memory this process may use: the machine's, cut to the limit of its control group."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in ("memory.max", "memory.limit_in_bytes"):
        limits += [int(text) for text in _cgroup_limits("memory", name) if text.strip() != "max"]
    return min(limits)


@functools.cache
def processor() -> str:
    """Name of the processor as its maker gives it, or its architecture."""
    for line in _read("proc", "cpuinfo").splitlines():
        if line.startswith("model name"):
            name = " ".join(line.partition(":")[2].replace("(R)", "").replace("(TM)", "").split())
            if name and name != "unknown":
                return name
    if sys.platform == "darwin":
        asked = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False)
        if asked.stdout.strip():
            return asked.stdout.strip()
    return platform.machine() or "unknown processor"


UNNAMED = "NVIDIA GPU"
"""A card whose driver does not tell its name."""


def nvidia_gpus() -> list[str]:
    """Names of the NVIDIA cards that the driver shows."""
    return [name for name, _ in _nvidia_cards()]


def _nvidia_cards() -> list[tuple[str, str]]:
    """Name and UUID of each card; empty where the driver does not tell it.

    A container may see the driver's files of all the host's cards, and the devices of some.
    """
    nodes = {path.name.removeprefix("nvidia") for path in ROOT.glob("dev/nvidia[0-9]*")}
    cards = []
    for information in sorted(ROOT.glob("proc/driver/nvidia/gpus/*/information")):
        lines = _read(*information.relative_to(ROOT).parts).splitlines()
        facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if not nodes or facts.get("Device Minor", "") in ("", *nodes):
            cards.append((facts.get("Model") or UNNAMED, facts.get("GPU UUID", "")))
    if cards:
        return cards
    if not nodes and ROOT.joinpath("dev", "dxg").exists() and shutil.which("nvidia-smi"):
        nodes = {"0"}
    return [(UNNAMED, "")] * len(nodes)


@functools.cache
def torch_has_cuda() -> bool:
    """True if the installed torch was built for CUDA. Found from its files, since importing it takes seconds."""
    found = find_spec("torch")
    if found is None or found.origin is None:
        return False
    libraries = Path(found.origin).parent / "lib"
    return any((libraries / name).exists() for name in ("libtorch_cuda.so", "torch_cuda.dll"))


def has_cuda() -> bool:
    """True if training on CUDA should work: a card, not hidden by CUDA_VISIBLE_DEVICES, and a torch built for it. A guess."""
    return not no_cuda_reason()


def no_cuda_reason() -> str:
    """The reason why CUDA cannot be used, as the end of a sentence; empty if there seems to be none."""
    if not nvidia_gpus():
        return "this machine shows no NVIDIA GPU"
    if not _shown_gpus(os.environ.get("CUDA_VISIBLE_DEVICES", "0")):
        return "CUDA_VISIBLE_DEVICES hides every GPU"
    if not torch_has_cuda():
        return "the installed torch was built without CUDA"
    return ""


def gpu_count() -> int:
    """Number of NVIDIA cards that training can use: of those of the machine, the ones that CUDA_VISIBLE_DEVICES leaves."""
    if no_cuda_reason():
        return 0
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    return len(nvidia_gpus()) if shown is None else min(len(nvidia_gpus()), len(_shown_gpus(shown)))


def _shown_gpus(shown: str) -> list[str]:
    """Cards that CUDA_VISIBLE_DEVICES names, by number or UUID; CUDA reads no further than the first -1 or gap."""
    names = (name.strip() for name in shown.split(","))
    return list(itertools.takewhile(lambda name: name not in ("", "-1"), names))


def has_mps() -> bool:
    """True on a Mac with Apple silicon, whose GPU torch can use."""
    return sys.platform == "darwin" and platform.machine() == "arm64"


def gpu() -> str | None:
    """Name of the first graphics device that training would use by itself, without asking any program."""
    if has_cuda():
        cards, shown = _nvidia_cards(), _shown_gpus(os.environ.get("CUDA_VISIBLE_DEVICES", "0"))[0]
        if len(cards) == 1:
            return cards[0][0]
        if shown.isdecimal():
            return cards[int(shown)][0] if int(shown) < len(cards) else UNNAMED
        return next((name for name, uuid in cards if uuid.startswith(shown)), UNNAMED)
    return "Apple GPU" if has_mps() else None


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
    import psutil  # type: ignore[import-untyped]

    if available_memory() < LEAST_MEMORY or benchmark_runs():
        return False
    return bool(psutil.cpu_percent(SECONDS_WATCHED) / 100 <= MOST_BUSY)


def available_memory() -> int:
    """Bytes that a new process could take, also within the limit of this process's control group, where files are cached, too."""
    import psutil

    taken = int((_cgroup_limits("memory", "memory.current") or ["0"])[-1])
    cached = re.findall(r"^inactive_file (\d+)$", "\n".join(_cgroup_limits("memory", "memory.stat")[-1:]), re.MULTILINE)
    return int(min(psutil.virtual_memory().available, memory() - max(0, taken - sum(map(int, cached)))))


BESIDE_LIBRARIES = 220_000_000
"""Address space that Python with PyTorch takes beside PyTorch's own libraries to open the demo (2.12, CPU)."""
WITHOUT_TORCH = "`llmlab runs`, `data`, `tokenize` and `params` need little"


def no_room_for_torch() -> str:
    """The sentence for a shell whose limit on memory (`ulimit -v`) has no room for PyTorch; "" where it has.

    Its import fails there in any way, also by ending the process."""
    limit, found = resource.getrlimit(resource.RLIMIT_AS)[0], find_spec("torch")
    if limit == resource.RLIM_INFINITY or found is None or found.origin is None:
        return ""
    package = Path(found.origin).parent  # beside which stand the libraries of a CUDA build
    libraries = [*(package / "lib").glob("*.so*"), *(package.parent / "nvidia").rglob("*.so*")]
    needed = sum(path.stat().st_size for path in libraries) + BESIDE_LIBRARIES
    return (
        ""
        if limit >= needed
        else (
            f"This shell lets a program take {bytes_(limit)} of memory (ulimit -v {limit >> 10}), and PyTorch alone can take "
            f"{bytes_(needed)}: `ulimit -v {2 * needed >> 10}` has room for small models; {WITHOUT_TORCH}."
        )
    )


def refuse_without_room_for_torch() -> None:
    """Raises UserError as `no_room_for_torch` says."""
    if problem := no_room_for_torch():
        raise UserError(problem)


def memory_ran_out() -> str:
    """The sentence for memory that ran out."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    there = f"{bytes_(available_memory())} are free" if limit == resource.RLIM_INFINITY else f"ulimit -v allows {bytes_(limit)}"
    return f"Memory ran out: {there}; a smaller model, a shorter prompt or fewer texts at once may fit, and {WITHOUT_TORCH}."


def benchmark_runs() -> bool:
    """True if a process measures this machine now."""
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        line = " ".join([os.path.basename(word) if at < 2 else word for at, word in enumerate(words)])
        if process.pid != os.getpid() and any(part in line for part in BENCHMARK):
            return True
    return False
