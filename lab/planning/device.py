"""Device, precision, threads and memory of a run, and what a CUDA card decides for it; device and threads of text that is
written, and of the engine.

A trainer gives up one of its threads while other programs keep the cores busy: see `lab.training.compute_setup`. torch is
imported by the functions that need it.
"""

import re
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from lab.core.errors import UserError
from lab.core.machine import Machine, gpu, has_cuda, has_mps, memory, no_cuda_reason, processor
from lab.core.number_format import bytes_, counted
from lab.planning.settings_table import RunRequest, SettingError
from lab.runs.run_schema import TrainConfig
from models.config import ModelConfig, Precision
from models.parameter_count import BYTES, flops_per_token, parameter_count, training_bytes

if TYPE_CHECKING:
    import torch

LARGER_THAN_CACHES = 30_000_000
"""Parameters beyond which weights do not stay in a processor's caches from one token to the next."""

NO_GPUS = "leave --gpus out, or try several processes on the CPU by --ranks 2 --device cpu."

TRY_SECONDS = 120
"""Timeout: importing torch and waking a GPU may take long on a busy machine; a driver that hangs takes for ever."""


def check_device(device: str) -> None:
    """Check that `device` is "auto", "cpu", or one that torch can use here, by trying it in a subprocess.
    Raises UserError otherwise, with the reason."""
    if device in ("auto", "cpu"):
        return
    if not re.fullmatch(r"cuda(:\d+)?|mps", device):
        raise UserError(f"There is no device called {device!r}; choose auto, cpu, cuda or mps.")
    if device == "mps" and not has_mps():
        raise UserError("device mps needs a Mac with Apple's own processor; use --device cpu.")
    if device.startswith("cuda") and (why := no_cuda_reason()):
        raise UserError(f"device {device} cannot be used: {why}; use --device cpu.")
    program = f"import torch; torch.zeros(1, device={device!r}) + 1"
    try:
        tried = subprocess.run(
            [sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=TRY_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"device {device} did not respond for {TRY_SECONDS} seconds; use --device cpu.") from error
    if tried.returncode:
        said = tried.stderr.strip().splitlines() or ["torch could not use it"]
        last = next((line for line in reversed(said) if "Error: " in line), said[-1])  # CUDA's advice comes behind it
        raise UserError(f"device {device} cannot be used ({last}); use --device cpu.")


def gpu_ranks(asked: str, machine: Machine) -> int:
    """The number of ranks for so many GPUs, or "all" of this machine. Raises SettingError if it has not as many."""
    if not machine.gpus:
        raise SettingError("gpus", f"There are no GPUs to train on: {no_cuda_reason() or 'CUDA has none'}; {NO_GPUS}")
    if asked == "all":
        return machine.gpus
    if not (asked.isascii() and asked.isdecimal() and len(asked) < 6 and int(asked) > 0):
        raise SettingError("gpus", f"GPUs must be a number of at least 1, or all, not {asked}.")
    if int(asked) > machine.gpus:
        raise SettingError("gpus", f"This machine has {counted(machine.gpus, 'GPU')} that CUDA can use, not {asked}.")
    return int(asked)


def with_ranks(request: RunRequest, machine: Machine) -> RunRequest:
    """The request with its GPUs as ranks on CUDA. Raises SettingError if this machine has not as many."""
    if request.gpus is None:
        return request
    if request.device is not None and not request.device.startswith(("auto", "cuda")):
        raise SettingError("gpus", f"GPUs are asked for, and the device {request.device}; leave one of them out.")
    return msgspec.structs.replace(request, gpus=None, ranks=gpu_ranks(request.gpus, machine), device="cuda")


def check_ranks(train: TrainConfig, ranks: int, machine: Machine) -> None:
    """Check that so many processes can train on this machine together. Raises SettingError otherwise."""
    if ranks == 1:
        return
    if train.device == "mps" or (train.device == "auto" and has_mps()):
        raise SettingError("ranks", "Several processes can train on CUDA or on the CPU, not on mps.")
    if machine.trains_on_gpu(train.device) and ranks > machine.gpus:
        has = counted(machine.gpus, "GPU")
        raise SettingError("ranks", f"This machine has {has} that CUDA can use, and {ranks} processes need one each.")
    if train.average:
        raise SettingError("average", "Weights are averaged by one process alone; leave --average out, or --ranks.")
    if ranks > train.batch:
        raise SettingError("batch", f"A batch of {counted(train.batch, 'window')} cannot be shared among {ranks} processes.")


def choose_device(device: str) -> "torch.device":
    """The device that is asked for; for "auto" a GPU if torch has code for one, else the CPU. Raises UserError."""
    import torch

    if device == "auto":
        found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        device = found if found == "cpu" or _has_kernels(found) else "cpu"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {device} cannot be used ({reason}); start a new run with --device cpu.") from error
    return torch.device(device)


def _has_kernels(device: str) -> bool:
    """False if this build of torch has no code for the card, which is older or newer than those that it was built for."""
    import torch

    try:
        torch.zeros(1, device=device).add_(1)
    except RuntimeError as error:
        return "no kernel image" not in str(error)
    return True


def choose_precision(precision: str, device: "torch.device") -> Precision:
    """The precision that was asked for; for "auto" the one that the device multiplies in fastest: bf16 where it has it.

    On a CPU without it that is fp32; of a CUDA card see `card_precision`. On a CPU with AVX512-BF16 bf16 is 1.2 (nano) to 1.8
    (micro) times as fast. Weights and optimizer are fp32 either way.
    """
    if precision in ("bf16", "fp16"):
        return "bf16" if precision == "bf16" else "fp16"
    if precision == "auto" and device.type == "cpu":
        return "bf16" if is_bf16_quicker() else "fp32"
    return "fp32"


def generation_device(asked: str, config: ModelConfig) -> "torch.device":
    """The device to generate text on: the one that is asked for; for "auto" a GPU for models that a CPU's caches do not hold.
    Raises UserError if the device that is asked for cannot be used."""
    import torch

    if asked != "auto":
        check_device(asked)
        return torch.device(asked)
    large = parameter_count(config) > LARGER_THAN_CACHES
    on_gpu = large and has_cuda() and torch.cuda.is_available() and _has_kernels("cuda")
    return torch.device("cuda" if on_gpu else "cpu")


@cache
def is_bf16_quicker() -> bool:
    """True if this processor multiplies matrices in bf16 quicker than in fp32, by a few products of each on one thread. With
    AVX512-BF16 it takes 0.4 times as long, with AVX-512 alone 2.5 times, with AVX2 30 times (an EPYC)."""
    import torch

    threads, times = torch.get_num_threads(), list[float]()
    torch.set_num_threads(1)
    for dtype in (torch.float32, torch.bfloat16):
        matrix, runs = torch.ones(256, 256, dtype=dtype), list[float]()
        for _ in range(4):
            started = time.thread_time()
            matrix @ matrix
            runs.append(time.thread_time() - started)
        times.append(min(runs))
    torch.set_num_threads(threads)
    return times[1] < times[0]


SHORT_STEP = 2e8
"""FLOPs of a step below which one thread computes it: it takes milliseconds either way."""

SMALL_MODEL = 30_000_000
"""Parameters up to which one thread computes a token as fast as several, also beside a training on all cores."""
MOST_ENGINE_THREADS = 4
"""The engine shares the cores with training, and its models are small."""
MOST_ENGINE_THREADS_BESIDE_GPU = 8
"""Where there is a GPU, it trains as a rule, so that cores are free, and models are larger."""


def default_threads(cores: int) -> int:
    """All of two cores or fewer; of more, one is left to the screen and to other programs."""
    return cores if cores <= 2 else cores - 1


def is_short_step(model: ModelConfig, train: TrainConfig) -> bool:
    """True if a step is too short to gain from a second thread."""
    return flops_per_token(model) * model.context * train.batch < SHORT_STEP


def training_threads(model: ModelConfig, train: TrainConfig, cores: int, *, on_gpu: bool) -> int:
    """Threads of the trainer when the run begins."""
    if train.threads:
        return train.threads
    if on_gpu:
        return cores
    return 1 if is_short_step(model, train) else default_threads(cores)


def generation_threads(model: ModelConfig, cores: int) -> int:
    """Threads of a command that writes text, token by token."""
    return cores if parameter_count(model) > SMALL_MODEL else 1


def engine_threads(cores: int, *, beside_gpu: bool) -> int:
    """Threads of the engine: half of the cores, for a training run may need the others."""
    most = MOST_ENGINE_THREADS_BESIDE_GPU if beside_gpu else MOST_ENGINE_THREADS
    return max(1, min(most, cores // 2))


TRAINED_COPIES = 3
"""Numbers kept for each weight while it is trained, at the least: itself, its gradient, and Muon's momentum (AdamW keeps two)."""
ROLLBACK_COPIES = 3
"""Numbers kept for each weight to roll back to: itself and the optimizer's two."""


def training_memory(model: ModelConfig, micro_batch: int) -> int:
    """Bytes of a step on so many windows at once, and of the good state that is kept to roll back to."""
    return training_bytes(model, micro_batch) + ROLLBACK_COPIES * BYTES * parameter_count(model)


def check_memory(model: ModelConfig, device: str = "cpu") -> None:
    """Refuse a model that the machine has no room for while it is trained, whatever the batch is.

    That is its weights, their gradients and the optimizer's state; where a GPU can be used, only the weights pass through here.
    Raises UserError with both sizes.
    """
    on_gpu = device.startswith(("cuda", "mps")) or (device == "auto" and gpu() is not None)
    needed = parameter_count(model) * BYTES * (1 if on_gpu else TRAINED_COPIES)
    if needed > memory():
        raise UserError(
            f"A model of {counted(model.layers, 'layer')} and width {model.width:,} needs at least {bytes_(needed)} of memory "
            f"to be trained and this machine has {bytes_(memory())}; choose fewer layers, a smaller width, context or vocabulary."
        )


BF16_SINCE = (8, 0)
"""Compute capability of the first tensor cores that multiply in bf16 (Ampere)."""
FP16_SINCE = (7, 0)
"""That of the first tensor cores, which multiply in fp16 (Volta)."""


@dataclass(frozen=True)
class Card:
    """A CUDA card. `capability` is its compute capability, `memory` in bytes."""

    name: str
    capability: tuple[int, int]
    memory: int


def describe_card(device: "torch.device") -> Card:
    """The card behind a CUDA device."""
    import torch

    found = torch.cuda.get_device_properties(device)
    return Card(found.name, (found.major, found.minor), found.total_memory)


def emulates(card: Card, precision: str) -> bool:
    """True if the card has no products in bf16 and the precision is that: it is slow there, and Triton has no code for it."""
    return precision == "bf16" and card.capability < BF16_SINCE


def processor_of(device: "torch.device") -> str:
    """Name of the card behind a device, or of this machine's processor."""
    return describe_card(device).name if device.type == "cuda" else "Apple GPU" if device.type == "mps" else processor()


def card_precision(card: Card, asked: str) -> tuple[Precision, str]:
    """The precision of a run on this card, "auto" or the one asked for, and the reason in words."""
    capability = f"compute capability {card.capability[0]}.{card.capability[1]}"
    if asked in ("fp32", "bf16", "fp16"):
        why = f"as asked, though {card.name} only emulates it ({capability})" if emulates(card, asked) else "as asked"
        precision: Precision = "fp32" if asked == "fp32" else "bf16" if asked == "bf16" else "fp16"
    elif card.capability >= BF16_SINCE:
        precision, why = "bf16", f"for the tensor cores of {card.name}"
    elif card.capability >= FP16_SINCE:
        precision, why = "fp16", f"for the tensor cores of {card.name}, which have no bf16 ({capability})"
    else:
        precision, why = "fp32", f"since {card.name} has no tensor cores ({capability})"
    return precision, f"{precision}{' with a scaled loss' if precision == 'fp16' else ''}, {why}"


PEAK_TFLOPS: dict[str, float] = {
    r"NVIDIA B200": 2250,  # HGX B200 datasheet: 36 PFLOPS of bf16 for eight, with sparsity
    r"NVIDIA H200( \d+GB HBM3e)?": 989,  # H200 datasheet: 1,979 with sparsity
    r"NVIDIA GH200 \d+GB": 989,  # GH200 datasheet: 1,979 with sparsity
    r"NVIDIA H200 NVL": 835,  # the same: 1,671 with sparsity
    r"NVIDIA H100( 80GB HBM3| SXM\S*)?": 989,  # H100 datasheet: 1,979 with sparsity
    r"NVIDIA H100 NVL": 835,  # the same: 1,671 with sparsity
    r"NVIDIA H100 PCIe": 756,  # the same: 1,513 with sparsity
    r"(NVIDIA )?A100-(PCIE|SXM4?)-\d+GB|NVIDIA A100 80GB PCIe": 312,  # A100 datasheet
    r"NVIDIA A10": 125,  # A10 datasheet: 250 with sparsity
    r"NVIDIA A40": 149.7,  # A40 datasheet
    r"NVIDIA A30": 165,  # A30 datasheet
    r"NVIDIA RTX A6000": 154.8,  # RTX A6000 datasheet: 309.7 with sparsity
    r"NVIDIA L4": 121,  # L4 datasheet: 242 with sparsity
    r"NVIDIA L40S": 362,  # L40S datasheet
    r"NVIDIA GeForce RTX 5090": 209.5,  # Blackwell whitepaper, with accumulation in fp32
    r"NVIDIA GeForce RTX 4090": 165.2,  # Ada whitepaper, with accumulation in fp32
    r"NVIDIA GeForce RTX 3090": 71,  # GA102 whitepaper, with accumulation in fp32
    r"Tesla V100-SXM2.*": 125,  # V100 datasheet, fp16
    r"Tesla V100-PCIE.*": 112,  # the same
    r"Tesla V100S-PCIE.*": 130,  # the same
    r"(Tesla|NVIDIA) T4": 65,  # T4 datasheet, fp16
}
"""Dense matrix products of the tensor cores in bf16 or fp16, in 10^12 FLOPs a second, by the name that torch gives the card. The
makers' figures with sparsity are halved. A name must match as a whole: a laptop's card, or a part of one, is another."""


def peak_flops(name: str, precision: Precision) -> float | None:
    """FLOPs a second that the card can reach at most; None where that is not known."""
    if precision == "fp32":
        return None
    return next((1e12 * peak for pattern, peak in PEAK_TFLOPS.items() if re.fullmatch(pattern, name)), None)


def utilization(tokens_per_second: float, flops_per_token: float, peak: float | None) -> float | None:
    """Model FLOPs utilization, from 0 to 1; None where the peak is not known."""
    return None if not peak else tokens_per_second * flops_per_token / peak


LEAST_SECONDS = 300.0
"""Planned duration from which compiling repays. It takes about a minute, for one block stands for all of them, and saves up to
half of a step's time on a GPU: nanoGPT's README has 250 ms before and 135 ms after."""
USUAL_UTILIZATION = 0.3
"""Share of a card's peak that a run is assumed to reach, to tell its duration before it has begun."""
USUAL_FLOPS = 10e12
"""FLOPs a second of a card whose peak is not known."""
KERNELS, KERNELS_PER_LAYER = 120, 70
"""Kernels that a step starts without compiled code, counted with torch's profiler for the presets."""
SECONDS_PER_KERNEL = 1e-5
"""Time that Python and the driver take to start one: a small model's step is no faster than that of all."""


def planned_seconds(model: ModelConfig, train: TrainConfig, card_name: str, cards: int = 1) -> float:
    """Duration of a run on so many cards of a kind: its minutes, or its steps at the usual utilization.

    A step takes at least the time in which its kernels are started.
    """
    if train.steps is None:
        return 60 * (train.minutes or 0.0)
    peak = peak_flops(card_name, "bf16")
    speed = USUAL_FLOPS if peak is None else USUAL_UTILIZATION * peak
    computing = train.batch * model.context * flops_per_token(model) / (speed * cards)
    starting = -(-train.accumulate // cards) * (KERNELS + KERNELS_PER_LAYER * model.layers) * SECONDS_PER_KERNEL
    return train.steps * max(computing, starting)


def choose_compile(setting: str, device_type: str, seconds: float) -> tuple[bool, str]:
    """True if a run of so many seconds is to be compiled; else the reason why not, in words, where one would expect it."""
    if setting == "on":
        return True, ""
    if setting == "off" or device_type != "cuda":  # on two cores micro gains 2% and takes a minute to compile (measured)
        return False, ""
    if seconds < LEAST_SECONDS:
        return False, f"not compiled, since a run of less than {LEAST_SECONDS / 60:.0f} minutes does not repay it"
    return True, ""
