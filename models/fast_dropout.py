"""Dropout on a CPU (Srivastava et al. 2014), where torch's own takes as long as all the rest of a small step.

Used in training with dropout. Equals `torch.nn.functional.dropout`, with p rounded to 1 / 65,536.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

LEVELS = 1 << 16
"""Sixteen random bits decide about a number, a quarter of what the generator gives at a time."""


def dropout(x: Tensor, p: float) -> Tensor:
    """Zero each number of `x` with probability `p` and divide the others by 1 − p, so that the mean stays the same.

    Draws from the default generator of the device of `x`.
    """
    if x.device.type != "cpu" or p == 0.0:
        return F.dropout(x, p)
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)
    bits = draws.view(torch.int16)[: x.numel()].view(x.shape)  # uniform from -LEVELS / 2 on
    kept = torch.ge(bits, round(p * LEVELS) - LEVELS // 2, out=torch.empty(x.shape, dtype=x.dtype))
    if x.dtype in (torch.float32, torch.float64):
        return x * kept.mul_(1 / (1 - p))
    return x * kept * (1 / (1 - p))  # a bf16 mask would hold 1 / 0.9 as 1.1094, so that the mean would be 0.16% too low


class Dropout(nn.Dropout):
    """`dropout` while training, nothing otherwise."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p) if self.training else input
