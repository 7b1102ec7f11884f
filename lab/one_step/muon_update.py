"""Muon's update of one weight (Jordan et al. 2024), written out from the matrix that it is a part of."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.optimizers.muon import RMS, orthogonalize, short_side_first


@dataclass(frozen=True)
class Muon:
    """The terms of one update, in order of computation."""

    w: float
    g: float
    m: float
    """Running mean of the gradients before this step."""
    momentum: float
    o: float
    """The weight's entry of the nearest orthogonal matrix, by Newton-Schulz."""
    long: int
    """The longer side of the matrix."""
    lr: float
    decay: float

    @property
    def new_m(self) -> float:
        return self.momentum * self.m + (1 - self.momentum) * self.g

    @property
    def nesterov(self) -> float:
        """The gradient with Nesterov momentum: mostly the new mean, a little of the gradient itself."""
        return (1 - self.momentum) * self.g + self.momentum * self.new_m

    @property
    def scale(self) -> float:
        return RMS * math.sqrt(self.long)

    @property
    def decay_change(self) -> float:
        """Change by weight decay."""
        return -self.lr * self.decay * self.w

    @property
    def gradient_change(self) -> float:
        """Change by the gradients."""
        return -self.lr * self.scale * self.o

    @property
    def after(self) -> float:
        return self.w + self.decay_change + self.gradient_change


def muon_of(weight: Tensor, state: dict[str, Any], group: dict[str, Any], index: tuple[int, ...], dtype: torch.dtype) -> Muon:
    """The terms of the weight's element at `index`. `state` and `group` are the optimizer's before the step."""
    gradient, momentum = weight.grad, group["momentum"]
    assert gradient is not None
    mean = state.get("momentum_buffer", torch.zeros_like(weight))
    nesterov = gradient.lerp(mean.lerp(gradient, 1 - momentum), momentum)
    matrices = nesterov.view(group["parts"], -1, nesterov.shape[1])  # (parts, rows, columns)
    wide = short_side_first(matrices)
    orthogonal = orthogonalize(wide, dtype)
    if wide.shape != matrices.shape:
        orthogonal = orthogonal.mT
    part, row = divmod(index[0], matrices.shape[1])
    return Muon(
        w=float(weight[index]),
        g=float(gradient[index]),
        m=float(mean[index]),
        momentum=momentum,
        o=float(orthogonal[part, row, index[1]]),
        long=max(matrices.shape[1:]),
        lr=group["lr"],
        decay=group["weight_decay"],
    )
