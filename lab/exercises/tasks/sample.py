"""Sample: the next token's probabilities with temperature, top-k and top-p, and the token that a random number draws."""

from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lab.exercises.exercise import Case
from lab.exercises.material import Material
from models.config import SamplingSettings
from models.sampling import distribution

Drawn = tuple[NDArray[np.float64], int]


def sample(logits: Tensor, u: float, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Drawn:
    settings = SamplingSettings(temperature=temperature, top_k=top_k, top_p=top_p)
    return drawn(distribution(logits, settings).after.numpy(), u)


def drawn(p: NDArray[np.float64], u: float) -> Drawn:
    return p, int(np.searchsorted(p.cumsum(), u, side="right"))


def by(mistake: str, logits: Tensor, u: float, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Drawn:
    """The draw with that mistake."""
    x = logits.double().numpy() * (temperature if mistake == "multiplied" else 1 / temperature)
    x = logits.double().numpy() if mistake == "no temperature" else x
    p = np.exp(x - x.max())
    p /= p.sum()
    order = (-p).argsort(kind="stable")
    if top_k and mistake != "no k":
        p[order[top_k + (mistake == "k + 1") :]] = 0
        p /= 1 if mistake == "not renewed" else p.sum()
    if top_p < 1.0 and mistake != "no p":
        before = p[order].cumsum() - p[order]
        kept = before < top_p if mistake != "crossing" else before + p[order] <= top_p
        kept[0] = kept[0] or mistake == "crossing"
        if mistake == "each":
            kept = p[order] >= 1 - top_p
        p[order[~kept]] = 0
        p /= 1 if mistake == "not renewed" else p.sum()
    return (p, int(p.argmax())) if mistake == "greedy" else drawn(p, u)


def cases(material: Material) -> list[Case]:
    logits = material.trace["logits"][-1].float()
    return [
        Case("temperature 0.5", (logits, 0.9, 0.5)),
        Case("top-k 3", (logits, 0.999, 1.0, 3)),
        Case("top-p 0.9", (logits * 0.3, 0.8, 1.0, 0, 0.9)),
        Case("all three", (logits * 0.5, 0.97, 1.5, 20, 0.8)),
        Case("a top-p that keeps one token", (logits * 2, 0.99, 1.0, 0, 0.01)),
        Case("u = 0", (logits, 0.0)),
    ]


WRONG = {
    sentence: partial(by, mistake)
    for mistake, sentence in {
        "crossing": "top-p leaves out the token that crosses p; it belongs to what is kept.",
        "multiplied": "The logits are multiplied by the temperature; divide by it.",
        "no temperature": "The temperature has no effect.",
        "k + 1": "top-k keeps one token too many.",
        "no k": "top-k has no effect.",
        "no p": "top-p has no effect.",
        "not renewed": "What is kept does not sum to 1 again.",
        "each": "top-p is taken as a bound on each probability; it is one on their sum.",
        "greedy": "The most probable token is returned, whatever u is.",
    }.items()
}
