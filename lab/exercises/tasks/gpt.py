"""GPT: the whole forward pass, from ids to logits."""

from functools import cache

import torch
from torch import Tensor

from lab.exercises.material import Case, Material
from models.config import ModelConfig
from models.gpt import GPT

Weights = dict[str, Tensor]


def gpt(ids: Tensor, weights: Weights, heads: int) -> Tensor:
    logits: Tensor = torch.func.functional_call(model_of(weights, heads), weights, (ids[None],))[0]
    return logits


def model_of(weights: Weights, heads: int) -> GPT:
    """A model without weights of its own, to be called with these."""
    (context, width), vocabulary = weights["wpe.weight"].shape, len(weights["wte.weight"])
    layers = sum(name.endswith("ln_1.weight") for name in weights)
    return _model(ModelConfig(layers=layers, heads=heads, width=width, context=context, vocab_size=vocabulary))


@cache
def _model(config: ModelConfig) -> GPT:
    with torch.device("meta"):
        return GPT(config, seed=None).eval()


def cases(material: Material) -> list[Case]:
    return [
        Case("your prompt", (torch.tensor(material.ids), material.weights, material.heads), "logits[{0},{1}]"),
        Case("one token", (torch.tensor(material.ids[:1]), material.weights, material.heads)),
        Case("a full context", (torch.tensor(material.full), material.weights, material.heads)),
    ]
