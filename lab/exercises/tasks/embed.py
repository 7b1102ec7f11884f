"""Embed: the vector of each token plus that of its position."""

import torch
from torch import Tensor

from lab.exercises.exercise import Case
from lab.exercises.material import Material


def embed(ids: Tensor, wte: Tensor, wpe: Tensor) -> Tensor:
    return wte[ids] + wpe[: len(ids)]


def cases(material: Material) -> list[Case]:
    wte, wpe = material.weights["wte.weight"], material.weights["wpe.weight"]
    return [
        Case("your prompt", (torch.tensor(material.ids), wte, wpe)),
        Case("one token", (torch.tensor(material.ids[:1]), wte, wpe)),
        Case("a full context", (torch.tensor(material.full), wte, wpe)),
    ]


WRONG = {
    "The position is missing: only the tokens' vectors are returned.": lambda ids, wte, wpe: wte[ids],
    "Every token gets the vector of position 0.": lambda ids, wte, wpe: wte[ids] + wpe[0],
    "Positions count from 1; the first has row 0.": lambda ids, wte, wpe: wte[ids] + wpe.roll(-1, 0)[: len(ids)],
    "Positions count from the end; the first token has row 0.": lambda ids, wte, wpe: wte[ids] + wpe[: len(ids)].flip(0),
    "The token's number is taken as its position.": lambda ids, wte, wpe: wte[ids] + wpe[ids % len(wpe)],
    "The two are multiplied; they are added.": lambda ids, wte, wpe: wte[ids] * wpe[: len(ids)],
    "The mean of the two is taken; they are added.": lambda ids, wte, wpe: (wte[ids] + wpe[: len(ids)]) / 2,
    "The tokens' vectors are missing: only the positions' are returned.": lambda ids, wte, wpe: wpe[: len(ids)].clone(),
}
