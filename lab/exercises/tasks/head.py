"""Head: one causal attention head, from queries, keys and values to its output."""

import math

import torch
from torch import Tensor

from lab.exercises.exercise import Case
from lab.exercises.material import Material
from models.attention_kernels import causal_attention


def head(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return causal_attention(q[None, None], k[None, None], v[None, None], 0.0, "auto")[0, 0]


def attended(scores: Tensor, v: Tensor, axis: int = -1, masked: float = -math.inf, diagonal: int = 1) -> Tensor:
    """The values by the softmax of scores (T, T), of which those after each query become `masked`."""
    after = torch.ones_like(scores).triu(diagonal).bool()
    return torch.softmax(scores.masked_fill(after, masked), axis) @ v


def _scores(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.T / math.sqrt(q.shape[1])


def cases(material: Material) -> list[Case]:
    layer = material.run.config.model.layers - 1
    q, k, v = (material.vectors(f"attn.{name}", layer)[:, 0] for name in "qkv")
    full = torch.Generator().manual_seed(1)
    return [
        Case(f"head {layer + 1}.1 at your prompt", (q, k, v)),
        Case("one token", (q[:1], k[:1], v[:1])),
        Case("two tokens", (q[:2], k[:2], v[:2])),
        Case("large scores", (q * 30, k * 30, v)),
        Case("a full context", tuple(torch.randn(len(material.full), q.shape[1], generator=full) for _ in range(3))),
    ]


WRONG = {
    "Your pattern is exactly the one without ÷ √D.": lambda q, k, v: attended(q @ k.T, v),
    "It divides by D; divide by its root.": lambda q, k, v: attended(q @ k.T / q.shape[1], v),
    "It divides by √T, the number of tokens; divide by √D.": lambda q, k, v: attended(q @ k.T / math.sqrt(len(q)), v),
    "The mask is missing: tokens see those that come after them.": lambda q, k, v: torch.softmax(_scores(q, k), -1) @ v,
    "The mask comes after softmax, so that rows no longer sum to 1.": lambda q, k, v: torch.softmax(_scores(q, k), -1).tril() @ v,
    "Masked scores are 0, and exp(0) is 1; they have to be −inf.": lambda q, k, v: attended(_scores(q, k), v, masked=0.0),
    "Softmax runs over the queries; each row, over its keys, is to sum to 1.": lambda q, k, v: attended(_scores(q, k), v, 0),
    "Queries and keys have changed places.": lambda q, k, v: attended(_scores(k, q), v),
    "The mask hides the token itself, too.": lambda q, k, v: attended(_scores(q, k), v, masked=-1e9, diagonal=0),
    "The mask hides the tokens before, not those after.": lambda q, k, v: (
        torch.softmax(_scores(q, k).masked_fill(torch.ones(len(q), len(q)).tril(-1).bool(), -math.inf), -1) @ v
    ),
    "Keys are weighted, not values.": lambda q, k, v: attended(_scores(q, k), k),
    "The scores weight the values without softmax.": lambda q, k, v: _scores(q, k).tril() @ v,
}
