"""Cross entropy in chunks, so that the logits of a whole batch never exist at once.

Used by `GPT.loss`. Equals `torch.nn.functional.cross_entropy(x @ weight.T, targets)`, gradients included.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

IGNORE_INDEX = -100
"""A target that is left out of the loss, as in `torch.nn.functional.cross_entropy`."""
CHUNK = 2**27
"""Bytes of logits that exist at one time on a CPU. Fewer would cost time: each chunk adds to the whole gradient of the head."""
BLOCK = 2**19
"""Logits of a chunk whose softmax is computed at one time on a CPU, so that its caches hold them (2 MB in fp32)."""
GPU_CHUNK = 2**27
"""Logits that exist at one time on a GPU, whose products are quick only where they are large."""
ROWS = 128
"""A chunk's rows on a GPU are a multiple of it, as the tiles of its products are."""
MULTIPLES = {"cuda": 64}
"""The head is computed with its rows padded by zeros to a multiple of this, by the device's type: tensor cores are slow on 50,257
rows and quick on 50,304. No logit of a padded row is ever looked at."""

ChunkLoss = Callable[[Tensor, Tensor, Tensor, "Tensor | None", int], Tensor]
"""`loss_and_gradient`, or a compiled form of it."""


def loss_and_gradient(logits: Tensor, target: Tensor, counted: Tensor, weights: Tensor | None, vocabulary: int) -> Tensor:
    """Sum of the counted losses of some logits; their gradient times `weights`, if those are given, takes the logits' place.

    Logits are (rows, P), whose columns from `vocabulary` on are padding, where the gradient is 0; target, counted and weights
    are (rows, 1).
    """
    own = logits[:, :vocabulary]
    wide = own.to(torch.promote_types(logits.dtype, torch.float32))  # (rows, V)
    probabilities = wide.softmax(-1)  # (rows, V)
    best = probabilities.amax(-1, keepdim=True)  # (rows, 1), at least 1 / V: the target's own may be too small for its logarithm
    losses = wide.amax(-1, keepdim=True) - wide.gather(-1, target) - best.log()  # (rows, 1)
    if weights is not None:
        own.copy_(probabilities.mul_(weights).scatter_add_(-1, target, -weights))
        logits[:, vocabulary:] = 0.0
    return losses.masked_fill(~counted, 0.0).sum()


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


def chunk_rows(positions: int, vocabulary: int, dtype: torch.dtype, device_type: str) -> int:
    """Positions, of so many, whose logits exist at one time; about as many in each chunk on a CPU."""
    if device_type != "cpu":
        return max(1, GPU_CHUNK // vocabulary // ROWS) * ROWS
    most = max(1, CHUNK // (vocabulary * dtype.itemsize))
    return -(-positions // -(-positions // most)) if positions else 1


def blocks(rows: int, vocabulary: int, device_type: str) -> Iterator[slice]:
    """Rows of a chunk whose softmax is computed at one time: all on a GPU."""
    size = max(1, BLOCK // vocabulary) if device_type == "cpu" else rows
    return (slice(start, start + size) for start in range(0, rows, size))


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
            weight_grad: Tensor | None = None
            rows = chunk_rows(len(x), vocabulary, dtype, device)
            for start in range(0, len(x), rows):
                part = slice(start, start + rows)
                logits = F.linear(low_x[part], low_weight)  # (rows, P)
                target = targets[part].clamp(min=0)[:, None]  # (rows, 1)
                counted = counts[part, None]  # (rows, 1)
                weights = counted.to(full) / count if with_gradient else None  # (rows, 1)
                weights = weights * scale if weights is not None and scale is not None else weights
                for block in blocks(len(logits), vocabulary, device):
                    of_block = None if weights is None else weights[block]
                    total += chunk_loss(logits[block], target[block], counted[block], of_block, vocabulary)
                if x_grad is not None:
                    torch.mm(logits, low_weight, out=x_grad[part])
                    of_chunk = logits.T @ low_x[part]  # (P, C)
                    weight_grad = of_chunk.to(weight.dtype) if weight_grad is None else weight_grad.add_(of_chunk)
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
