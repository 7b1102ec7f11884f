"""The optimizer of a run: AdamW, or Muon for the matrices inside the layers and AdamW for the rest."""

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from models.config import OptimizerName, Precision
from models.optimizers.eager_optimizer import EagerAdamW
from models.optimizers.muon import MuonAdamW

FUSED_ON = ("cpu", "cuda", "mps")
"""Devices on which torch has AdamW's whole update as one kernel."""

QKV = "attn.c_attn.weight"
"""Three matrices in one, of queries, keys and values; Muon makes each of them orthogonal by itself."""


def make_optimizer(
    model: nn.Module,
    lr: float,
    weight_decay: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.95),
    rule: OptimizerName = "adamw",
) -> Optimizer:
    """AdamW (Loshchilov & Hutter 2019); for the rule "muon", Muon for the matrices inside the layers and AdamW for others.

    Matrices and embeddings have weight decay, biases and norms have none. Each group carries its "rule". The groups are in this
    order: AdamW's decayed and not decayed ones, then Muon's, the matrices of queries, keys and values first. Call it after the
    model is on its device.
    """
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    hidden = {name: weight for name, weight in weights.items() if rule == "muon" and name.startswith("h.") and weight.dim() == 2}
    rest = [weight for name, weight in weights.items() if name not in hidden]
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in rest if weight.dim() >= 2], "weight_decay": weight_decay, "rule": "adamw"},
        {"params": [weight for weight in rest if weight.dim() < 2], "weight_decay": 0.0, "rule": "adamw"},
    ]
    fused = all(weight.device.type in FUSED_ON for weight in rest)
    if rule == "adamw":
        return EagerAdamW(groups, lr=lr, betas=betas, fused=fused)
    for parts in (3, 1):
        matrices = [weight for name, weight in hidden.items() if name.endswith(QKV) == (parts == 3)]
        groups.append({"params": matrices, "weight_decay": weight_decay, "rule": "muon", "parts": parts})
    return MuonAdamW(groups, lr, betas, fused)


def muon_dtype(precision: Precision, device_type: str) -> torch.dtype:
    """Type of Muon's products in a run of this precision. A CPU has no quick fp16."""
    if precision == "fp16":
        return torch.float16 if device_type == "cuda" else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def set_muon_dtype(optimizer: Optimizer, dtype: torch.dtype) -> None:
    """Compute Muon's matrix products in this type; no effect on an optimizer without them."""
    if isinstance(optimizer, MuonAdamW):
        optimizer.dtype = dtype
