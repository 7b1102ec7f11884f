"""The optimizer of a run and the shape of its learning rate over time."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.adamw import adamw

Rule = Literal["muon", "adamw"]

FUSED_ON = ("cpu", "cuda", "mps")
"""Devices on which torch has AdamW's whole update as one kernel."""

MOMENTUM = 0.95
EPSILON = 1e-8
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of x, x³ and x⁵ that bring singular values in (0, 1] near 1 in the fewest steps (Jordan et al. 2024)."""
NEWTON_SCHULZ_STEPS = 5
SMALLEST_NORM = 1e-20
"""So that a gradient of zeros moves nothing. Small enough not to shorten what the first steps give queries and keys."""
RMS = 0.2
"""Root mean square of a Muon update before the learning rate, about that of an AdamW update (Liu et al. 2025)."""

QKV = "attn.c_attn.weight"
"""Three matrices in one, of queries, keys and values, each of which Muon makes orthogonal by itself."""


def make_optimizer(
    model: nn.Module,
    lr: float,
    weight_decay: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.95),
    rule: Rule = "adamw",
) -> Optimizer:
    """AdamW (Loshchilov & Hutter 2019) that decays the matrices and embeddings, not the biases and norms; with the rule "muon"
    the matrices inside the layers follow Muon, and the rest AdamW.

    Each group says its "rule". The groups are in this order: AdamW's decayed and not decayed ones, then Muon's, the matrices of
    queries, keys and values first. Make it after the model is on its device.
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
        return AdamW(groups, lr=lr, betas=betas, fused=fused)
    for parts in (3, 1):
        matrices = [weight for name, weight in hidden.items() if name.endswith(QKV) == (parts == 3)]
        groups.append({"params": matrices, "weight_decay": weight_decay, "rule": "muon", "parts": parts})
    return MuonAdamW(groups, lr, betas, fused)


def compute_in(optimizer: Optimizer, dtype: torch.dtype) -> None:
    """Has Muon's matrix products made in this type; an optimizer without them is not changed."""
    if isinstance(optimizer, MuonAdamW):
        optimizer.dtype = dtype


class MuonAdamW(Optimizer):
    """One optimizer of two rules; each group's "rule" says which of them its weights follow.

    Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks") averages the gradients with Nesterov's
    momentum, and moves a matrix by about the nearest one whose singular values are all 1, which Newton-Schulz iteration
    approximates. That is multiplied by 0.2 · sqrt(larger side), so that its root mean square is AdamW's, and one learning rate
    and one weight decay do for both (Liu et al. 2025, "Muon is Scalable for LLM Training", section 2.2). A group's "parts" says
    how many matrices its weights are made of, one above the other.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, betas: tuple[float, float], fused: bool) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": EPSILON, "momentum": MOMENTUM, "fused": fused, "parts": 1})
        self.dtype = torch.bfloat16
        """What Newton-Schulz is computed in: it does with bf16; fp32 is quicker where the processor has no bf16."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Moves every weight that has a gradient."""
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
        looked_ahead = torch._foreach_lerp(gradients, averages, group["momentum"])
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        turned: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for weight, update in zip(weights, looked_ahead, strict=True):
            own, change = (
                short_side_first(x.view(group["parts"], -1, x.shape[1])) for x in (weight, update)
            )  # (parts, short, long)
            turned.setdefault(change.shape, []).append((own, change))
        for pairs in turned.values():  # products of many small matrices at once are quicker than one by one
            made = orthogonal(torch.cat([change for _, change in pairs]), self.dtype)
            for (own, _), change in zip(pairs, torch.split(made, group["parts"]), strict=True):
                own.add_(change.to(own.dtype), alpha=-group["lr"] * RMS * math.sqrt(own.shape[2]))


def short_side_first(x: Tensor) -> Tensor:
    """x (n, a, b), turned if a is larger than b. A view."""
    return x.mT if x.shape[1] > x.shape[2] else x


def orthogonal(x: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """The matrices of x (n, short, long), with their singular values brought near 1.

    Newton-Schulz iteration with the coefficients of Jordan et al. 2024: five steps of matrix products. They bring a singular
    value of at least 0.002 of the matrix's (Frobenius) norm to between 0.68 and 1.2, which trains as well as 1 does. A smaller
    one grows to at most 485 times that share, since a step multiplies it by 3.44: one of 0.00004 ends at 0.02.
    """
    first, third, fifth = NEWTON_SCHULZ
    x = x.to(dtype)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_(min=SMALLEST_NORM)
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = x @ x.mT  # (n, short, short)
        polynomial = torch.baddbmm(square, square, square, beta=third, alpha=fifth)
        x = torch.baddbmm(x, polynomial, x, beta=first)
    return x
