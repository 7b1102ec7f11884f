"""Attention: all heads of a layer, and the output projection that mixes them."""

import torch
from torch import Tensor

from lab.exercises.material import Case, Material
from models.attention_kernels import causal_attention


def attention(x: Tensor, w_qkv: Tensor, b_qkv: Tensor, w_out: Tensor, b_out: Tensor, heads: int) -> Tensor:
    tokens, width = x.shape
    parts = (x @ w_qkv.T + b_qkv).view(tokens, 3, heads, width // heads)
    q, k, v = parts.permute(1, 2, 0, 3)[:, None]  # (1, H, T, D) each
    z = causal_attention(q, k, v)[0]  # (H, T, D)
    return z.transpose(0, 1).reshape(tokens, width) @ w_out.T + b_out


def cases(material: Material) -> list[Case]:
    layer = material.run.config.model.layers - 1
    weights, x = material.of_layer("attn", layer), material.vectors("ln1.out", layer)
    generator = torch.Generator().manual_seed(1)
    small = [torch.randn(shape, generator=generator) for shape in ((5, 6), (18, 6), (18,), (6, 6), (6,))]
    return [
        Case(f"layer {layer + 1} at your prompt", (x, *weights, material.heads), f"blocks.{layer}.attn_out[{{0}},{{1}}]"),
        Case("one token", (x[:1], *weights, material.heads)),
        Case("three heads, width 6, random numbers", (*small, 3)),
        Case("one head", (*small, 1)),
    ]
