"""Next logits: one token more through the model, with the keys and values of those before it."""

import torch
from torch import Tensor

from lab.exercises.material import Case, Material
from lab.exercises.tasks.gpt import Weights, model_of
from models.gpt import KVCache


def next_logits(token: int, cache: Tensor, weights: Weights, heads: int) -> tuple[Tensor, Tensor]:
    layers, _, length, width = cache.shape
    model = model_of(weights, heads)
    held = KVCache(model.config)
    held.keys[:, 0, :, :length], held.values[:, 0, :, :length] = (
        cache.view(layers, 2, length, heads, width // heads).transpose(2, 3).unbind(1)
    )
    held.length = length
    logits = torch.func.functional_call(model, weights, (torch.tensor([[token]]), held))[0, -1]
    grown = held.memory[:, :, 0, :, : length + 1].transpose(2, 3).reshape(layers, 2, length + 1, width)
    return logits, grown


def cases(material: Material) -> list[Case]:
    weights, heads, ids = material.weights, material.heads, material.full
    layers, width = material.run.config.model.layers, material.run.config.model.width
    cache, caches = torch.zeros(layers, 2, 0, width), list[Tensor]()
    for token in ids:
        caches.append(cache)
        cache = next_logits(token, cache, weights, heads)[1]
    return [
        Case("the first token, with nothing in the cache", (ids[0], caches[0], weights, heads)),
        Case("the second", (ids[1], caches[1], weights, heads)),
        Case("the last that the context has room for", (ids[-1], caches[-1], weights, heads)),
    ]
