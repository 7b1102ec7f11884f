"""LayerNorm: each vector with mean 0 and variance 1, then times a gain plus a bias."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from lab.exercises.exercise import Case
from lab.exercises.material import Material


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    return F.layer_norm(x, gain.shape, gain, bias, eps)


def _normed(x: Tensor, gain: Tensor, bias: Tensor, variance: Tensor, eps: float) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (variance + eps).sqrt() * gain + bias


def _variance(x: Tensor, correction: int = 0) -> Tensor:
    return x.var(-1, correction=correction, keepdim=True)


def cases(material: Material) -> list[Case]:
    gain, bias = material.weights["h.0.ln_1.weight"], material.weights["h.0.ln_1.bias"]
    stream = material.vectors("resid_pre")
    return [
        Case("the stream before layer 1 at your prompt", (stream, gain, bias)),
        Case("one token", (stream[:1], gain, bias)),
        Case("a batch of two", (torch.stack((stream, stream + 1)), gain, bias)),
        Case("vectors of very small numbers, where eps counts", (stream * 1e-2, gain, bias)),
        Case("a vector whose numbers are all alike", (torch.full((1, len(gain)), 0.25), gain, bias)),
        Case("another eps, 0.1", (stream, gain, bias, 0.1)),
    ]


WRONG = {
    "eps is forgotten.": lambda x, g, b, eps=1e-5: _normed(x, g, b, _variance(x), 0.0),
    "eps is added to the standard deviation; it belongs inside the root, to the variance.": lambda x, g, b, eps=1e-5: (
        (x - x.mean(-1, keepdim=True)) / (_variance(x).sqrt() + eps) * g + b
    ),
    "The variance is divided by n − 1; here it is by n (correction=0, or unbiased=False).": lambda x, g, b, eps=1e-5: _normed(
        x, g, b, _variance(x, 1), eps
    ),
    "The mean is not subtracted: that is RMSNorm.": lambda x, g, b, eps=1e-5: (
        x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * g + b
    ),
    "It divides by the variance; divide by its root.": lambda x, g, b, eps=1e-5: (
        (x - x.mean(-1, keepdim=True)) / (_variance(x) + eps) * g + b
    ),
    "The gain is missing.": lambda x, g, b, eps=1e-5: _normed(x, torch.ones_like(g), b, _variance(x), eps),
    "The bias is missing.": lambda x, g, b, eps=1e-5: _normed(x, g, torch.zeros_like(b), _variance(x), eps),
    "Mean and variance are taken over the tokens; each vector has its own.": lambda x, g, b, eps=1e-5: (
        (x - x.mean(-2, keepdim=True)) / (x.var(-2, correction=0, keepdim=True) + eps).sqrt() * g + b
    ),
    "Mean and variance are of all numbers together; each vector has its own.": lambda x, g, b, eps=1e-5: (
        (x - x.mean()) / (x.var(correction=0) + eps).sqrt() * g + b
    ),
    "The bias is added before the gain multiplies.": lambda x, g, b, eps=1e-5: (
        (_normed(x, torch.ones_like(g), torch.zeros_like(b), _variance(x), eps) + b) * g
    ),
    "eps is fixed at 1e-5; take the argument.": lambda x, g, b, eps=1e-5: _normed(x, g, b, _variance(x), 1e-5),
}
