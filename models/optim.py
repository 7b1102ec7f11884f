"""The optimizer of a run and the shape of its learning rate over time."""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

FUSED_ON = ("cpu", "cuda", "mps")
"""Devices on which torch has AdamW's whole update as one kernel."""


def make_optimizer(model: nn.Module, lr: float, weight_decay: float = 0.1, betas: tuple[float, float] = (0.9, 0.95)) -> Optimizer:
    """AdamW (Loshchilov & Hutter 2019) that decays the matrices and embeddings, not the biases and norms.

    The groups are in this order: decayed, not decayed. Make it after the model is on its device.
    """
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in weights if weight.dim() >= 2], "weight_decay": weight_decay},
        {"params": [weight for weight in weights if weight.dim() < 2], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=lr, betas=betas, fused=_all_on(weights, FUSED_ON))


def _all_on(weights: Iterable[torch.Tensor], devices: tuple[str, ...]) -> bool:
    return all(weight.device.type in devices for weight in weights)


def lr_factor(progress: float, warmup: float = 0.03, final: float = 0.1) -> float:
    """What the peak learning rate is multiplied by at `progress` through the run, in [0, 1]; beyond 1 it stays at `final`.

    A straight line from 0 to 1 over the first `warmup` of the run, then half a cosine from 1 to `final`
    (Loshchilov & Hutter 2017, "SGDR"). At progress 0 with a warm-up it is 0, so count the update about to be made as done:
    `lr_factor((step + 1) / steps)`.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < warmup:
        return progress / warmup
    if warmup >= 1.0:
        return 1.0
    fall = (progress - warmup) / (1.0 - warmup)
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * fall))
