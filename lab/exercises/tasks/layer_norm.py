"""LayerNorm: each vector with mean 0 and variance 1, then times a gain plus a bias."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from lab.exercises.material import Case, Material


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    return F.layer_norm(x, gain.shape, gain, bias, eps)


def cases(material: Material) -> list[Case]:
    gain, bias = material.weights["h.0.ln_1.weight"], material.weights["h.0.ln_1.bias"]
    stream = material.vectors("resid_pre")
    return [
        Case("the stream before layer 1 at your prompt", (stream, gain, bias), "blocks.0.ln1.out[{0},{1}]"),
        Case("one token", (stream[:1], gain, bias)),
        Case("a batch of two", (torch.stack((stream, stream + 1)), gain, bias)),
        Case("vectors of very small numbers, where eps counts", (stream * 1e-2, gain, bias)),
        Case("a vector whose numbers are all alike", (torch.full((1, len(gain)), 0.25), gain, bias)),
        Case("another eps, 0.1", (stream, gain, bias, 0.1)),
    ]
