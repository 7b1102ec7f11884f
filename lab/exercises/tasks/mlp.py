"""MLP: four times as wide, GELU, and back."""

import torch
from torch import Tensor

from lab.exercises.material import Case, Material
from models.gelu import gelu


def mlp(x: Tensor, w_fc: Tensor, b_fc: Tensor, w_out: Tensor, b_out: Tensor) -> Tensor:
    return gelu(x @ w_fc.T + b_fc) @ w_out.T + b_out


def cases(material: Material) -> list[Case]:
    weights, x = material.of_layer("mlp"), material.vectors("ln2.out")
    wide = torch.linspace(-6, 6, 4 * x.shape[1])
    return [
        Case("layer 1 at your prompt", (x, *weights), "blocks.0.mlp_out[{0},{1}]"),
        Case("one token", (x[:1], *weights)),
        Case("neurons from −6 to 6", (x, weights[0], wide, *weights[2:])),
    ]
