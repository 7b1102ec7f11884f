"""Embed: the vector of each token plus that of its position."""

import torch

from lab.exercises.material import Case, Material


def cases(material: Material) -> list[Case]:
    wte, wpe = material.weights["wte.weight"], material.weights["wpe.weight"]
    return [
        Case("your prompt", (torch.tensor(material.ids), wte, wpe), "blocks.0.resid_pre[{0},{1}]"),
        Case("one token", (torch.tensor(material.ids[:1]), wte, wpe)),
        Case("a full context", (torch.tensor(material.full), wte, wpe)),
    ]
