"""Attention kernels: causal attention by two plain products, or by torch's fused kernel where that is quicker.

Used by every attention layer of `models.gpt`. Equals softmax(q kᵀ / sqrt(D) + causal_mask) v. In the comments B is the batch,
H the heads, T the queries, S the keys, D the width of a head.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from models.config import AttentionKernel
from models.fast_dropout import dropout as fast_dropout

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
