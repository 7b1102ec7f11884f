"""Cross entropy in chunks, so that the logits of a whole batch never exist at once.

Used by `GPT.loss`. Equals `torch.nn.functional.cross_entropy(x @ weight.T, targets)`, gradients included.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

IGNORE_INDEX = -100
"""A target that is left out of the loss, as in `torch.nn.functional.cross_entropy`."""
CHUNK = 2**24
"""Logits that exist at one time (64 MB in fp32). Fewer would cost time: each chunk adds to the whole gradient of the head."""
GPU_CHUNK = 2**27
"""The same on a GPU, whose products are quick only where they are large."""
ROWS = 128
"""A chunk's rows on a GPU are a multiple of it, as the tiles of its products are."""
MULTIPLES = {"cuda": 64}
"""The head is computed with its rows padded by zeros to a multiple of this, by the device's type: tensor cores are slow on 50,257
rows and quick on 50,304. No logit of a padded row is ever looked at."""

ChunkLoss = Callable[[Tensor, Tensor, Tensor, "Tensor | None", int], tuple[Tensor, "Tensor | None"]]
"""`loss_and_gradient`, or a compiled form of it."""


def loss_and_gradient(
    logits: Tensor, target: Tensor, counted: Tensor, weights: Tensor | None, vocabulary: int
) -> tuple[Tensor, Tensor | None]:
    """Sum of the counted losses of a chunk, and its gradient with respect to the logits times `weights`, if they are given.

    Logits are (rows, P), whose columns from `vocabulary` on are padding; target, counted and weights are (rows, 1). The gradient
    is (rows, P) in the logits' type, and 0 where there is padding.
    """
    padding = logits.shape[1] - vocabulary
    full = torch.promote_types(logits.dtype, torch.float32)
    wide = logits[:, :vocabulary].to(full)  # (rows, V)
    top = wide.amax(-1, keepdim=True)  # (rows, 1)
    picked = wide.gather(-1, target)  # (rows, 1)
    exponentials = wide.sub_(top).exp_()  # (rows, V), made in place of the logits; once for loss and gradient
    sums = exponentials.sum(-1, keepdim=True)  # (rows, 1)
    loss = (sums.log() + top - picked).masked_fill(~counted, 0.0).sum()
    if weights is None:
        return loss, None
    gradient = exponentials.mul_(weights / sums).scatter_add_(-1, target, -weights).to(logits.dtype)
    return loss, F.pad(gradient, (0, padding)) if padding else gradient


def chunked_cross_entropy(
    x: Tensor, weight: Tensor, targets: Tensor, scale: Tensor | None = None, chunk_loss: ChunkLoss = loss_and_gradient
) -> Tensor:
    """Mean of -log softmax(x weightᵀ)[target] in nats over the targets that are not -100; NaN if all are.

    x is (N, C), weight (V, C), targets (N,). The gradients with respect to x and weight are exact: they are computed in the
    forward pass, chunk by chunk, from dloss/dlogits = (softmax(logits) - onehot(target)) / count. Differentiable once.

    The gradients, not the loss, are multiplied by `scale`: in fp16 those of a mean over many tokens would be rounded to 0
    (Micikevicius et al. 2018, "Mixed Precision Training", section 3.2).
    """
    loss: Tensor = _ChunkedCrossEntropy.apply(x, weight, targets, torch.is_grad_enabled(), scale, chunk_loss)  # type: ignore[no-untyped-call]
    return loss


def padded_rows(vocabulary: int, device_type: str) -> int:
    """Rows that the head is computed with on this type of device."""
    multiple = MULTIPLES.get(device_type, 1)
    return -(-vocabulary // multiple) * multiple


def chunk_rows(vocabulary: int, device_type: str) -> int:
    """Positions whose logits exist at one time."""
    if device_type == "cpu":
        return max(1, CHUNK // vocabulary)
    return max(1, GPU_CHUNK // vocabulary // ROWS) * ROWS


def _padded(weight: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
    """The head (V, C) in this type, with rows of zeros up to (rows, C)."""
    padding = rows - len(weight)
    return F.pad(weight.to(dtype), (0, 0, 0, padding)) if padding else weight.to(dtype)


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, with_gradient: bool, scale: Tensor | None, chunk_loss: ChunkLoss
    ) -> Tensor:
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        vocabulary = len(weight)
        with torch.autocast(device, enabled=False):
            low_x, low_weight = x.to(dtype), _padded(weight, padded_rows(vocabulary, device), dtype)  # (N, C), (P, C)
            counts = targets != IGNORE_INDEX
            count = counts.sum()
            full = torch.promote_types(dtype, torch.float32)
            total = torch.zeros((), dtype=full, device=x.device)
            x_grad = torch.empty_like(low_x) if with_gradient else None
            weight_grad = torch.zeros_like(low_weight, dtype=weight.dtype) if with_gradient else None
            rows = chunk_rows(vocabulary, device)
            for start in range(0, len(x), rows):
                part = slice(start, start + rows)
                logits = F.linear(low_x[part], low_weight)  # (rows, P)
                target = targets[part].clamp(min=0)[:, None]  # (rows, 1)
                counted = counts[part, None]  # (rows, 1)
                if x_grad is None or weight_grad is None:
                    total += chunk_loss(logits, target, counted, None, vocabulary)[0]
                    continue
                weights = counted.to(full) / count  # (rows, 1)
                weights = weights if scale is None else weights * scale
                loss, low_gradient = chunk_loss(logits, target, counted, weights, vocabulary)
                total += loss
                assert low_gradient is not None
                x_grad[part] = low_gradient @ low_weight
                if dtype == weight.dtype:
                    weight_grad.addmm_(low_gradient.T, low_x[part])
                else:
                    weight_grad += low_gradient.T @ low_x[part]
            if x_grad is not None and weight_grad is not None:
                own_rows = weight_grad if len(weight_grad) == vocabulary else weight_grad[:vocabulary]
                ctx.save_for_backward(x_grad.to(x.dtype), own_rows)
            return total / count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        x_grad, weight_grad = ctx.saved_tensors
        if x_grad.device.type == "cpu" and float(grad) == 1.0:
            return x_grad, weight_grad, None, None, None, None  # no copy of what may be the largest tensor there is
        return grad * x_grad, grad * weight_grad, None, None, None, None
