"""Attention kernels: causal attention by two plain products, or by torch's fused kernel where that is quicker; and dropout.

Used by every attention layer of `models.gpt`. Equals softmax(q kᵀ / sqrt(D) + causal_mask) v. In the comments B is the batch,
H the heads, T the queries, S the keys, D the width of a head.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.config import AttentionKernel

PLAIN_UP_TO = 512
"""Up to this many tokens bf16 attention is quicker on a CPU by two plain products than by torch's fused kernel (measured)."""


def causal_attention(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0, kernel: AttentionKernel = "auto") -> Tensor:
    """Causal attention, softmax(q kᵀ / sqrt(D)) v, of queries (B, H, T, D) that are the last T of the S keys (B, H, S, D).

    The kernel "auto" is torch's fused one, except on a CPU where plain products are quicker: short sequences in bf16, and with
    dropout.
    """
    batch, heads, tokens, width = q.shape
    keys = k.shape[2]
    plain_is_quicker = q.device.type == "cpu" and (dropout > 0.0 or (q.dtype == torch.bfloat16 and tokens <= PLAIN_UP_TO))
    if kernel == "plain" or (kernel == "auto" and plain_is_quicker):
        q, k, v = (x.reshape(batch * heads, -1, width) for x in (q, k, v))  # (B*H, T or S, D)
        attn_scores = torch.baddbmm(causal_mask(tokens, keys, q), q, k.transpose(1, 2), alpha=1 / math.sqrt(width))  # (B*H, T, S)
        pattern = fast_dropout(attn_scores.softmax(-1), dropout)  # (B*H, T, S)
        return torch.bmm(pattern, v).view(batch, heads, tokens, width)
    if tokens == keys:
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
    mask = None if tokens == 1 else causal_mask(tokens, keys, q)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)


def causal_mask(tokens: int, keys: int, like: Tensor) -> Tensor:
    """The causal mask (T, S), added to the scores: 0 up to the query's own position, -inf after it. Type and device of `like`."""
    return torch.full((tokens, keys), -math.inf, dtype=like.dtype, device=like.device).triu_(keys - tokens + 1)


LEVELS = 1 << 16
"""Sixteen random bits decide about a number, a quarter of what the generator gives at a time."""


def fast_dropout(x: Tensor, p: float) -> Tensor:
    """Dropout (Srivastava et al. 2014) on a CPU, where torch's own takes as long as all the rest of a small step.

    Zero each number of `x` with probability `p`, rounded to 1 / 65,536, and divide the others by 1 − p.

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
    """`fast_dropout` while training, nothing otherwise."""

    def forward(self, input: Tensor) -> Tensor:
        return fast_dropout(input, self.p) if self.training else input
