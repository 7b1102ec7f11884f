"""Muon's update of one weight (Jordan et al. 2024), written out from the matrix that it is a part of."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.muon import RMS, orthogonalize, short_side_first


@dataclass(frozen=True)
class Muon:
    """The terms of one update, in the order in which they follow from each other."""

    w: float
    g: float
    m: float
    """Running mean of the gradients before this step."""
    momentum: float
    o: float
    """The weight's place in the nearest orthogonal matrix, as Newton-Schulz finds it."""
    long: int
    """The longer side of the matrix."""
    lr: float
    decay: float

    @property
    def new_m(self) -> float:
        return self.momentum * self.m + (1 - self.momentum) * self.g

    @property
    def ahead(self) -> float:
        """The gradient as Nesterov's momentum looks at it: mostly the new mean, a little of the gradient itself."""
        return (1 - self.momentum) * self.g + self.momentum * self.new_m

    @property
    def scale(self) -> float:
        return RMS * math.sqrt(self.long)

    @property
    def decayed(self) -> float:
        """What weight decay adds."""
        return -self.lr * self.decay * self.w

    @property
    def moved(self) -> float:
        """What the gradients add."""
        return -self.lr * self.scale * self.o

    @property
    def after(self) -> float:
        return self.w + self.decayed + self.moved


def muon_of(weight: Tensor, state: dict[str, Any], group: dict[str, Any], index: tuple[int, ...], dtype: torch.dtype) -> Muon:
    """The terms of the weight's element at `index`. `state` and `group` are the optimizer's before the step."""
    gradient, momentum = weight.grad, group["momentum"]
    assert gradient is not None
    mean = state.get("momentum_buffer", torch.zeros_like(weight))
    ahead = gradient.lerp(mean.lerp(gradient, 1 - momentum), momentum)
    matrices = ahead.view(group["parts"], -1, ahead.shape[1])  # (parts, rows, columns)
    turned = short_side_first(matrices)
    made = orthogonalize(turned, dtype)
    if turned.shape != matrices.shape:
        made = made.mT
    part, row = divmod(index[0], matrices.shape[1])
    return Muon(
        w=float(weight[index]),
        g=float(gradient[index]),
        m=float(mean[index]),
        momentum=momentum,
        o=float(made[part, row, index[1]]),
        long=max(matrices.shape[1:]),
        lr=group["lr"],
        decay=group["weight_decay"],
    )
