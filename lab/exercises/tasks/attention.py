"""Attention: all heads of a layer, and the output projection that mixes them."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from lab.exercises.exercise import Case
from lab.exercises.material import Material
from models.attention_kernels import causal_attention


def attention(x: Tensor, w_qkv: Tensor, b_qkv: Tensor, w_out: Tensor, b_out: Tensor, heads: int) -> Tensor:
    return by(x, w_qkv, b_qkv, w_out, b_out, heads)


def by(
    x: Tensor,
    w_qkv: Tensor,
    b_qkv: Tensor,
    w_out: Tensor,
    b_out: Tensor,
    heads: int,
    *,
    order: str = "qkv",
    split: str = "heads",
    join: str = "heads",
    scale: float = 1.0,
) -> Tensor:
    """The attention; with a mistake asked for, that of it."""
    tokens, width = x.shape
    qkv = (x @ w_qkv.T + b_qkv).tensor_split(3, -1)
    parts = dict(zip(order, qkv, strict=True))
    shaped: Callable[[Tensor], Tensor] = {
        "heads": lambda part: part.view(tokens, heads, -1).transpose(0, 1),
        "reshape": lambda part: part.reshape(heads, tokens, -1),
        "strided": lambda part: part.view(tokens, -1, heads).permute(2, 0, 1),
    }[split]
    q, k, v = (shaped(parts[name])[None] for name in "qkv")
    z = causal_attention(q * scale, k, v, 0.0, "auto")[0]  # (H, T, D)
    joined = {"heads": lambda: z.transpose(0, 1).reshape(tokens, width), "reshape": lambda: z.reshape(tokens, width)}[join]()
    out: Tensor = joined @ w_out.T + b_out
    return out


def cases(material: Material) -> list[Case]:
    layer = material.run.config.model.layers - 1
    weights, x = material.of_layer("attn", layer), material.vectors("ln1.out", layer)
    generator = torch.Generator().manual_seed(1)
    small = [torch.randn(shape, generator=generator) for shape in ((5, 6), (18, 6), (18,), (6, 6), (6,))]
    return [
        Case(f"layer {layer + 1} at your prompt", (x, *weights, material.heads)),
        Case("one token", (x[:1], *weights, material.heads)),
        Case("three heads, width 6, random numbers", (*small, 3)),
        Case("one head", (*small, 1)),
    ]


WRONG = {
    "The heads are split by a plain reshape, which mixes tokens; view as (T, heads, D), then move the heads to the front.": (
        partial(by, split="reshape")
    ),
    "The heads are joined by a plain reshape; move the tokens to the front first.": partial(by, join="reshape"),
    "Heads are split and joined by a plain reshape, which mixes tokens.": partial(by, split="reshape", join="reshape"),
    "A head takes every H-th column; it has to take D columns side by side.": partial(by, split="strided"),
    "Keys are taken first, then queries; it has to be queries first.": partial(by, order="kqv"),
    "Values and keys have changed places.": partial(by, order="qvk"),
    "It divides by √C; each head has D = C / heads dimensions.": lambda x, w, b, w_out, b_out, heads: by(
        x, w, b, w_out, b_out, heads, scale=heads**-0.5
    ),
    "The bias of queries, keys and values is missing.": lambda x, w, b, *rest: by(x, w, torch.zeros_like(b), *rest),
    "The output projection is missing.": lambda x, w, b, w_out, b_out, heads: by(
        x, w, b, torch.eye(len(w_out)), torch.zeros_like(b_out), heads
    ),
    "The output bias is missing.": lambda x, w, b, w_out, b_out, heads: by(x, w, b, w_out, torch.zeros_like(b_out), heads),
    "The output matrix is not transposed: z @ w_out.T.": lambda x, w, b, w_out, b_out, heads: by(x, w, b, w_out.T, b_out, heads),
    "There is one head of full width; split it into heads.": lambda x, w, b, w_out, b_out, heads: by(x, w, b, w_out, b_out, 1),
}
