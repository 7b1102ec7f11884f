"""Unembedding: logits as dot products with the whole token embedding, in slices that fit the caches and can be interrupted."""

from collections.abc import Generator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

    from models.gpt import GPT

T = TypeVar("T")
Slices = Generator[None, None, T]
"""Incremental work: yields now and then, so that more urgent work can go first, and returns its result."""

SLICE = 1024
"""Rows of the token embedding taken at one time: 3 MB of GPT-2's stay in a core's cache while every vector is multiplied with
them, which is up to twice as quick as all rows at once (measured)."""


def unembed(model: "GPT", vectors: "Tensor") -> Slices["Tensor"]:
    """Logits (n, V) of vectors (n, C) that the final norm has been applied to, in fp32."""
    import torch

    embedding = model.wte.weight  # (V, C)
    logits = torch.empty(len(vectors), len(embedding))
    for start in range(0, len(embedding), SLICE):
        logits[:, start : start + SLICE] = vectors @ embedding[start : start + SLICE].T
        yield
    return logits


def finish(slices: Slices[T]) -> T:
    """Do all of the work at once."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            result: T = end.value
            return result
