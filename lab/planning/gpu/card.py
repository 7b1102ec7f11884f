"""A CUDA card as torch describes it, and the precision that its tensor cores are quick in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.core.machine import processor
from models.config import Precision

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
