"""GELU on a CPU: the tanh form that GPT-2 uses, by a sigmoid, which torch computes three times as fast there as a tanh.

gelu(x) = x/2 · (1 + tanh(u)) = x · sigmoid(2u), with u = sqrt(2/π) · (x + 0.044715 x³) (Hendrycks & Gimpel 2016, "Gaussian Error
Linear Units", section 2), since 1 + tanh(u) = 2 · sigmoid(2u).
"""

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

LINEAR = 2 * math.sqrt(2 / math.pi)
CUBIC = LINEAR * 0.044715
"""2u = LINEAR · x + CUBIC · x³"""
FEW = 2**14
"""Numbers below which one call of torch's own is quicker than several."""
BLOCK = 2**18
"""Numbers computed at one time, so that the caches hold them (1 MB in fp32)."""


def gelu(x: Tensor) -> Tensor:
    """The tanh form of GELU of each number. Of many numbers on a CPU differentiable once.

    It and its slope are computed together, in fp32 at least, so that the backward pass is one product.
    """
    if x.device.type != "cpu" or x.numel() < FEW or torch.compiler.is_compiling():
        return F.gelu(x, approximate="tanh")
    result: Tensor = _Gelu.apply(x)  # type: ignore[no-untyped-call]
    return result


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        needs_slope: bool = ctx.needs_input_grad[0]
        result, slope = torch.empty_like(x), torch.empty_like(x if needs_slope else x[:0])
        full = torch.promote_types(x.dtype, torch.float32)
        linear = torch.tensor(LINEAR, dtype=full)
        for start in range(0, x.numel(), BLOCK):
            low, low_result, low_slope = (each.view(-1)[start : start + BLOCK] for each in (x, result, slope))
            part = low.to(full)
            square = part * part
            gate = torch.add(linear, square, alpha=CUBIC).mul_(part).sigmoid_()
            out = part * gate
            low_result.copy_(out)
            if needs_slope:
                inner = torch.add(linear, square, alpha=3 * CUBIC)  # the derivative of 2u
                low_slope.copy_(out.addcmul_(out, gate, value=-1.0).mul_(inner).add_(gate))
        ctx.save_for_backward(slope)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        slope: Tensor
        (slope,) = ctx.saved_tensors
        return grad * slope
