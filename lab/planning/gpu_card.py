"""Choices for a run on a CUDA card, by the card's description: precision, compilation, model FLOPs utilization."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.core.machine import processor
from lab.runs.run_schema import TrainConfig
from models.config import ModelConfig, Precision
from models.parameter_count import flops_per_token

if TYPE_CHECKING:
    import torch

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
