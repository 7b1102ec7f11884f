"""MLP: four times as wide, GELU, and back."""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from lab.exercises.exercise import Case
from lab.exercises.material import Material
from models.gelu import gelu


def mlp(x: Tensor, w_fc: Tensor, b_fc: Tensor, w_out: Tensor, b_out: Tensor) -> Tensor:
    return gelu(x @ w_fc.T + b_fc) @ w_out.T + b_out


def cases(material: Material) -> list[Case]:
    weights, x = material.of_layer("mlp"), material.vectors("ln2.out")
    wide = torch.linspace(-6, 6, 4 * x.shape[1])
    return [
        Case("layer 1 at your prompt", (x, *weights)),
        Case("one token", (x[:1], *weights)),
        Case("neurons from −6 to 6", (x, weights[0], wide, *weights[2:])),
    ]


def _with(activation: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda x, w, b, w_out, b_out: activation(x @ w.T + b) @ w_out.T + b_out


WRONG = {
    "GELU is the exact one, by erf; GPT-2 takes the form with tanh.": lambda *given: _with(F.gelu)(*given),
    "GELU is the approximation by sigmoid, x · σ(1.702 x); GPT-2 takes the form with tanh.": lambda *given: _with(
        lambda a: a * torch.sigmoid(1.702 * a)
    )(*given),
    "The activation is ReLU.": lambda *given: _with(torch.relu)(*given),
    "The activation is SiLU.": lambda *given: _with(F.silu)(*given),
    "There is no activation: two matrices in a row are one matrix.": lambda *given: _with(lambda a: a)(*given),
    "The activation is tanh alone.": lambda *given: _with(torch.tanh)(*given),
    "In GELU the cube is missing.": lambda *given: _with(lambda a: 0.5 * a * (1 + torch.tanh((2 / torch.pi) ** 0.5 * a)))(*given),
    "In GELU the factor √(2/π) is missing.": lambda *given: _with(lambda a: 0.5 * a * (1 + torch.tanh(a + 0.044715 * a**3)))(
        *given
    ),
    "In GELU the half is missing.": lambda *given: _with(lambda a: 2 * gelu(a))(*given),
    "The neurons' bias is missing.": lambda x, w, b, w_out, b_out: mlp(x, w, torch.zeros_like(b), w_out, b_out),
    "The output bias is missing.": lambda x, w, b, w_out, b_out: mlp(x, w, b, w_out, torch.zeros_like(b_out)),
    "x is added; the residual stream adds it, not the MLP.": lambda x, *weights: x + mlp(x, *weights),
}
