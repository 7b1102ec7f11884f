"""Muon (Jordan et al. 2024): momentum made nearly orthogonal by Newton-Schulz iteration, with AdamW for the other weights."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from models.optimizers.eager_optimizer import EagerOptimizer

MOMENTUM = 0.95
EPSILON = 1e-8
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of x, x³ and x⁵ that bring singular values in (0, 1] near 1 in the fewest steps (Jordan et al. 2024)."""
NEWTON_SCHULZ_STEPS = 5
SMALLEST_NORM = 1e-20
"""Least norm to divide by, so that a gradient of zeros moves nothing. Small enough not to shorten the updates of queries and keys
in the first steps."""
RMS = 0.2
"""Root mean square of a Muon update before the learning rate, about that of an AdamW update (Liu et al. 2025)."""


class MuonAdamW(EagerOptimizer):
    """Muon and AdamW in one optimizer; each group's "rule" is the one its weights follow.

    Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks") averages the gradients with Nesterov's
    momentum, and moves a matrix by about the nearest one whose singular values are all 1, which Newton-Schulz iteration
    approximates. That is multiplied by 0.2 · sqrt(larger side), so that its root mean square is AdamW's, and one learning rate
    and one weight decay do for both (Liu et al. 2025, "Muon is Scalable for LLM Training", section 2.2). A group's "parts" says
    how many matrices its weights are made of, stacked as rows.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, betas: tuple[float, float], fused: bool) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": EPSILON, "momentum": MOMENTUM, "fused": fused, "parts": 1})
        self.dtype = torch.bfloat16
        """Type of Newton-Schulz's products: bf16 is precise enough, fp16 ten times as near to fp32; fp32 is faster on a processor
        without them."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        loss = closure() if closure else None
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights and group["rule"] == "muon":
                self._muon(group, weights)
            elif weights:
                self._adamw(group, weights)
        return loss

    def _adamw(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        for weight in weights:
            if not self.state[weight]:
                steps = torch.zeros((), dtype=torch.float32, device=weight.device if group["fused"] else "cpu")
                self.state[weight] = {"step": steps, "exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}
        kept = {name: [self.state[weight][name] for weight in weights] for name in ("step", "exp_avg", "exp_avg_sq")}
        adamw(
            weights,
            [weight.grad for weight in weights if weight.grad is not None],
            kept["exp_avg"],
            kept["exp_avg_sq"],
            [],
            kept["step"],
            fused=group["fused"],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )

    def _muon(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        for weight in weights:
            if not self.state[weight]:
                self.state[weight] = {"momentum_buffer": torch.zeros_like(weight)}
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        averages = [self.state[weight]["momentum_buffer"] for weight in weights]
        torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
        nesterov = torch._foreach_lerp(gradients, averages, group["momentum"])
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for weight, update in zip(weights, nesterov, strict=True):
            own, update = (
                short_side_first(x.view(group["parts"], -1, x.shape[1])) for x in (weight, update)
            )  # (parts, short, long)
            by_shape.setdefault(update.shape, []).append((own, update))
        for pairs in by_shape.values():  # products of many small matrices at once are quicker than one by one
            orthogonal = orthogonalize(torch.cat([update for _, update in pairs]), self.dtype)
            for (own, _), update in zip(pairs, torch.split(orthogonal, group["parts"]), strict=True):
                own.add_(update.to(own.dtype), alpha=-group["lr"] * RMS * math.sqrt(own.shape[2]))


def short_side_first(x: Tensor) -> Tensor:
    """Transpose x (n, a, b) if a is larger than b. A view."""
    return x.mT if x.shape[1] > x.shape[2] else x


def orthogonalize(x: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Bring the singular values of the matrices x (n, short, long) near 1.

    Newton-Schulz iteration with the coefficients of Jordan et al. 2024: five steps of matrix products. They bring a singular
    value of at least 0.002 of the matrix's (Frobenius) norm to between 0.68 and 1.2, which trains as well as 1 does. A smaller
    one grows to at most 485 times that share, since a step multiplies it by 3.44: one of 0.00004 ends at 0.02.
    """
    first, third, fifth = NEWTON_SCHULZ
    x = x if dtype == torch.float16 else x.to(dtype)  # in which small gradients would be 0 before they are normalized
    x = (x / x.norm(dim=(1, 2), keepdim=True).clamp_(min=SMALLEST_NORM)).to(dtype)
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = x @ x.mT  # (n, short, short)
        polynomial = torch.baddbmm(square, square, square, beta=third, alpha=fifth)
        x = torch.baddbmm(x, polynomial, x, beta=first)
    return x
