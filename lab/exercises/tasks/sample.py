"""Sample: the next token's probabilities with temperature, top-k and top-p, and the token that a random number draws."""

import torch
from torch import Tensor

from lab.exercises.material import Case, Material
from models.config import SamplingSettings
from models.sampling import distribution


def sample(logits: Tensor, u: float, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> tuple[Tensor, int]:
    p = distribution(logits, SamplingSettings(temperature=temperature, top_k=top_k, top_p=top_p)).after
    return p, int(torch.searchsorted(p.cumsum(0), u, right=True))


def cases(material: Material) -> list[Case]:
    logits = material.trace["logits"][-1].float()
    return [
        Case("temperature 0.5", (logits, 0.9, 0.5)),
        Case("top-k 3", (logits, 0.999, 1.0, 3)),
        Case("top-p 0.9", (logits * 0.3, 0.8, 1.0, 0, 0.9)),
        Case("all three", (logits * 0.5, 0.97, 1.5, 20, 0.8)),
        Case("a top-p that keeps one token", (logits * 2, 0.99, 1.0, 0, 0.01)),
        Case("the random number 0", (logits, 0.0)),
        Case("the random number 0, and the first ids are not kept", (torch.tensor([0.0, 1.0, 2.0]), 0.0, 1.0, 1)),
    ]
