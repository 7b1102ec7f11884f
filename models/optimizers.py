"""Optimizers: AdamW and Muon, and the one that fits a model. They are torch's without torch's compiler."""

import math
from collections.abc import Callable, Iterable
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.adamw import adamw

from models.config import OptimizerName, Precision

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


class EagerOptimizer(Optimizer):
    """An optimizer that is never compiled itself.

    torch wraps these methods so that `torch.compile` leaves them out, and the first call of one imports the whole compiler for
    it, which takes a second. The lab compiles the model only.
    """

    add_param_group = unwrap(Optimizer.add_param_group)
    zero_grad = unwrap(Optimizer.zero_grad)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)


class EagerAdamW(EagerOptimizer, AdamW):
    """torch's AdamW, with its own step."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every weight that has a gradient."""
        return unwrap(AdamW.step)(self, closure)


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
