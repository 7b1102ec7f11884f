"""Cross entropy in chunks, so that the logits of a whole batch never exist at once.

Used by `GPT.loss`. Equals `torch.nn.functional.cross_entropy(x @ weight.T, targets)`, gradients included.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

IGNORE_INDEX = -100
"""A target that is left out of the loss, as in `torch.nn.functional.cross_entropy`."""
CHUNK = 2**24
"""Logits that exist at one time (64 MB in fp32). Fewer would cost time: each chunk adds to the whole gradient of the head."""


def chunked_cross_entropy(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Mean of -log softmax(x weightᵀ)[target] in nats over the targets that are not -100; NaN if all are.

    x is (N, C), weight (V, C), targets (N,). The gradients with respect to x and weight are exact: they are computed in the
    forward pass, chunk by chunk, from dloss/dlogits = (softmax(logits) - onehot(target)) / count. Differentiable once.
    """
    loss: Tensor = _ChunkedCrossEntropy.apply(x, weight, targets, torch.is_grad_enabled())  # type: ignore[no-untyped-call]
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, with_gradient: bool) -> Tensor:
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        with torch.autocast(device, enabled=False):
            low_x, low_weight = x.to(dtype), weight.to(dtype)
            counts = targets != IGNORE_INDEX
            count = counts.sum()
            full = torch.promote_types(dtype, torch.float32)
            total = torch.zeros((), dtype=full, device=x.device)
            x_grad = torch.empty_like(low_x) if with_gradient else None
            weight_grad = torch.zeros_like(weight) if with_gradient else None
            rows = max(1, CHUNK // len(weight))
            for start in range(0, len(x), rows):
                part = slice(start, start + rows)
                logits = F.linear(low_x[part], low_weight).to(full)  # (rows, V)
                target = targets[part].clamp(min=0)[:, None]  # (rows, 1)
                top = logits.amax(-1, keepdim=True)  # (rows, 1)
                picked = logits.gather(-1, target)  # (rows, 1)
                exponentials = logits.sub_(top).exp_()  # (rows, V), made in place of the logits; once for loss and gradient
                sums = exponentials.sum(-1, keepdim=True)  # (rows, 1)
                total += (sums.log() + top - picked).masked_fill(~counts[part, None], 0.0).sum()
                if x_grad is None or weight_grad is None:
                    continue
                weights = counts[part, None].to(full) / count  # (rows, 1)
                gradient = exponentials.mul_(weights / sums).scatter_add_(-1, target, -weights)
                low_gradient = gradient.to(dtype)
                x_grad[part] = low_gradient @ low_weight
                if dtype == weight.dtype:
                    weight_grad.addmm_(low_gradient.T, low_x[part])
                else:
                    weight_grad += low_gradient.T @ low_x[part]
            if x_grad is not None and weight_grad is not None:
                ctx.save_for_backward(x_grad.to(x.dtype), weight_grad)
            return total / count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x_grad, weight_grad = ctx.saved_tensors
        if x_grad.device.type == "cpu" and float(grad) == 1.0:
            return x_grad, weight_grad, None, None  # no copy of what may be the largest tensor there is
        return grad * x_grad, grad * weight_grad, None, None
