"""Speculative decoding: a cheap draft proposes tokens, and the model checks all of them in one forward pass.

Leviathan et al. 2023 ("Fast Inference from Transformers via Speculative Decoding"): the tokens have the model's own distribution,
whatever the draft; a good draft only makes the passes fewer.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.config import SamplingSettings
from models.decoding import OneTokenDecoder
from models.gpt import GPT, KVCache
from models.sampling import distribution, draw, uniform

Draft = Callable[[Sequence[int]], Tensor]
"""Logits (V,) of the token after some ids."""


class ModelDraft:
    """A smaller model with the same vocabulary as draft."""

    def __init__(self, model: GPT) -> None:
        self._cache, self._held = KVCache(model.config), list[int]()
        self._decoder = OneTokenDecoder(model, self._cache)

    def __call__(self, ids: Sequence[int]) -> Tensor:
        same = next((at for at, (a, b) in enumerate(zip(self._held, ids, strict=False)) if a != b), len(self._held))
        self._cache.length = min(same, len(ids) - 1)
        for token in ids[self._cache.length :]:
            logits = self._decoder.logits(token)
        self._held = list(ids)
        return logits


def text_draft(text: NDArray[np.integer], vocab_size: int) -> Draft:
    """Draft by counts: of the tokens that follow the last two in a text, or the last one where the two never stand in it."""

    @cache
    def logits(before: int, last: int) -> Tensor:
        ends = np.flatnonzero(text[:-1] == last)
        both = ends[(ends > 0) & (text[ends - 1] == before)]
        counts = np.bincount(text[(both if len(both) else ends) + 1], minlength=vocab_size)
        return torch.from_numpy(np.log(counts + 1e-9))

    return lambda ids: logits(ids[-2] if len(ids) > 1 else -1, ids[-1])


def checked(p: Sequence[Tensor], q: Sequence[Tensor], proposed: Sequence[int], u: Sequence[float], last: float) -> list[int]:
    """The proposed tokens that are accepted, and one more: together they are distributed as by the model.

    `p` are the model's probabilities (V,) at each proposed token and after them, `q` those it was drawn from, `u` and `last` are
    random in [0, 1). A token is kept with probability min(1, p/q); for the first that is not, one is drawn from p's surplus.
    """
    for at, token in enumerate(proposed):
        if u[at] * float(q[at][token]) >= float(p[at][token]):
            return [*proposed[:at], draw((p[at] - q[at]).clamp_min(0.0), last)]
    return [*proposed, draw(p[len(proposed)], last)]


@torch.inference_mode()
def speculate(
    model: GPT, draft: Draft, ids: Sequence[int], n: int, sampling: SamplingSettings, ahead: int
) -> Iterator[list[int]]:
    """Sample n tokens after ids, pass by pass: of each at most `ahead` that were proposed, and one of the model's own.

    All of them must fit into the context. There is no repetition penalty. Greedy, the tokens are those of decoding one by one.
    """
    kept, sequence, end = KVCache(model.config), list(ids), len(ids) + n
    while len(sequence) < end:
        start, q = len(sequence), []
        for at in range(start, min(start + ahead, end - 1)):
            q.append(distribution(draft(sequence), sampling).after)
            sequence.append(draw(q[-1], uniform(sampling.seed, 3 * at)))
        hidden = model.hidden(torch.tensor([sequence[kept.length :]]), kept)[0, -len(q) - 1 :]
        p = [distribution(row, sampling).after for row in model.unembed(hidden)]
        u = [uniform(sampling.seed, 3 * at + 1) for at in range(start, start + len(q))]
        tokens = checked(p, q, sequence[start:], u, uniform(sampling.seed, 3 * start + 2))
        sequence[start:] = tokens
        kept.length = len(sequence) - 1
        yield tokens
