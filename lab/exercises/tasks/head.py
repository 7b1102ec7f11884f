"""Head: one causal attention head, from queries, keys and values to its output."""

import torch
from torch import Tensor

from lab.exercises.material import Case, Material
from models.attention_kernels import causal_attention


def head(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return causal_attention(q[None, None], k[None, None], v[None, None], 0.0, "auto")[0, 0]


def cases(material: Material) -> list[Case]:
    layer = material.run.config.model.layers - 1
    q, k, v = (material.vectors(f"attn.{name}", layer)[:, 0] for name in "qkv")
    full = torch.Generator().manual_seed(1)
    return [
        Case(f"head {layer + 1}.1 at your prompt", (q, k, v), f"blocks.{layer}.attn.z[{{0}},0,{{1}}]"),
        Case("one token", (q[:1], k[:1], v[:1])),
        Case("two tokens", (q[:2], k[:2], v[:2])),
        Case("large scores", (q * 30, k * 30, v)),
        Case("a full context", tuple(torch.randn(len(material.full), q.shape[1], generator=full) for _ in range(3))),
    ]
