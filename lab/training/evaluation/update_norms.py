"""Gradient norms and update-to-weight ratios of one step, for each part of the model."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from lab.runs.run_schema import PartUpdate
from models.gpt import GPT


class UpdateNorms:
    """Gradient norm and update-to-weight ratio of each part. Made between the backward pass and the clipping of gradients."""

    def __init__(self, model: GPT) -> None:
        self._parts = {
            part: [weight for weight in weights if weight.grad is not None] for part, weights in parts_of(model).items()
        }
        self._norms = {part: _norm(weight.grad for weight in weights) for part, weights in self._parts.items()}
        self._before = {part: [each.detach().clone() for each in _matrices(weights)] for part, weights in self._parts.items()}

    @torch.no_grad()
    def after_step(self) -> list[PartUpdate]:
        """Norms and ratios, once the optimizer has stepped. Empty where a gradient was NaN or infinite."""
        made = []
        for part, weights in self._parts.items():
            before = self._before.pop(part)
            change = _norm(now - then for now, then in zip(_matrices(weights), before, strict=True))
            size = _norm(before)
            ratio = short_float(change / size) if size else None
            if not math.isfinite(self._norms[part]) or (ratio is not None and not math.isfinite(ratio)):
                return []
            made.append(PartUpdate(part, short_float(self._norms[part]), ratio))
        return made


def parts_of(model: GPT) -> dict[str, list[Tensor]]:
    """Parameters by part, in the order of the forward pass; a norm belongs to the part that it stands before."""
    parts: dict[str, list[Tensor]] = {"embedding": [model.wte.weight], "positions": [model.wpe.weight]}
    for layer, block in enumerate(model.blocks, 1):
        parts[f"{layer} attention"] = [*block.ln_1.parameters(), *block.attn.parameters()]
        parts[f"{layer} MLP"] = [*block.ln_2.parameters(), *block.mlp.parameters()]
    return parts | {"final norm": list(model.ln_f.parameters())}


def _matrices(weights: Iterable[Tensor]) -> list[Tensor]:
    return [weight for weight in weights if weight.dim() >= 2]


def _norm(tensors: Iterable[Tensor | None]) -> float:
    """L2 norm of all of them together."""
    norms = torch._foreach_norm([tensor.detach() for tensor in tensors if tensor is not None] or [torch.zeros(1)])
    return float(torch.stack([norm.float() for norm in norms]).norm())


def short_float(value: float) -> float:
    """Rounded to 4 significant digits, for the log."""
    return float(f"{value:.4g}")
