"""From logits to the next token: temperature, top-k, top-p, and a random number that depends on seed and position only."""

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.gpt import GPT, KVCache
from models.sampling_settings import Sampling as Sampling

FIRST = 128
"""Tokens among which a draw is looked for before all are sorted."""


@dataclass(frozen=True)
class Distribution:
    """Probabilities over the whole vocabulary, each (V,), float64, on the CPU.

    `before` is the softmax of the logits as they are (temperature 1, no filter), `after` what is drawn from, 0 for tokens
    filtered out, and `kept` (bool) says which tokens the filters left.
    """

    before: Tensor
    after: Tensor
    kept: Tensor


@dataclass(frozen=True)
class Drawn:
    """A token that was drawn, the probability the model gave it (temperature 1, no filter), and the number that picked it."""

    id: int
    probability: float
    u: float


def distribution(logits: Tensor, sampling: Sampling) -> Distribution:
    """The next token's probabilities before and after temperature and filters, from logits (V,), computed in float64.

    Raises:
        ValueError: if the logits hold NaN or +inf, as those of a model whose training diverged do.
    """
    logits = logits.detach().to("cpu", torch.float64)
    if not bool((logits < math.inf).all()) or not bool((logits > -math.inf).any()):
        raise ValueError("the logits are not numbers, so there is no next token to draw; the model's training may have diverged.")
    logits = logits - logits.max()
    before = logits.softmax(-1)
    if sampling.greedy or sampling.temperature == 0.0:
        order = falling(logits, 1)
        after = torch.ones(1, dtype=torch.float64)
    elif not sampling.top_k and sampling.top_p >= 1.0:
        return Distribution(before, (logits / sampling.temperature).softmax(-1), torch.ones(len(logits), dtype=torch.bool))
    else:
        order = falling(logits, sampling.top_k or len(logits))
        after = (logits[order] / sampling.temperature).softmax(-1)
        if sampling.top_p < 1.0:
            sum_before_it = after.cumsum(-1) - after
            n = max(1, int((sum_before_it < sampling.top_p).sum()))
            order, after = order[:n], after[:n] / after[:n].sum()
    kept = torch.zeros(len(logits), dtype=torch.bool)
    kept[order] = True
    return Distribution(before, torch.zeros_like(before).index_copy(0, order, after), kept)


def falling(values: Tensor, most: int) -> Tensor:
    """The places of the `most` largest of values (V,), the largest first, ties by place; without sorting all for a few."""
    if 4 * most < len(values):
        least = values.topk(most).values[-1]
        candidates = (values >= least).nonzero()[:, 0]
        return candidates[values[candidates].argsort(descending=True, stable=True)][:most]
    return values.argsort(descending=True, stable=True)[:most]


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) that depends on (seed, position) only, so that a token can be undone and drawn again the same.

    The first word of the counter-based generator Philox4x64 (Salmon et al. 2011, "Parallel random numbers: as easy as
    1, 2, 3") with the seed as key and the position as counter; its top 53 bits are taken as a fraction.
    """
    word = np.random.Philox(key=seed, counter=position).random_raw()
    return float(int(word) >> 11) * 2.0**-53


def draw(after: Tensor, u: float) -> int:
    """The token that u in [0, 1) falls on when the probabilities (V,) are laid end to end, the largest first, ties by id."""
    at = u * float(after.sum())
    order = falling(after, FIRST)
    ends = after[order].cumsum(-1)
    if at >= float(ends[-1]) and len(order) < len(after):
        order = falling(after, len(after))
        ends = after[order].cumsum(-1)
    index = int(torch.searchsorted(ends, at, right=True))
    return int(order[min(index, int((after > 0).sum()) - 1)])


def generate(model: GPT, ids: Sequence[int], n: int, sampling: Sampling) -> Iterator[Drawn]:
    """Draws n tokens one after the other behind ids, each seeing at most the last `context` tokens; see `generate_together`."""
    together = generate_together(model, ids, n, [sampling])
    try:
        for (drawn,) in together:
            yield drawn
    finally:
        together.close()


def generate_together(
    model: GPT, ids: Sequence[int], n: int, samplings: Sequence[Sampling]
) -> Generator[list[Drawn], None, None]:
    """Draws n tokens one after the other behind ids, for each of the samplings, in one pass of the model for all of them.

    The token with index i in a whole sequence is picked by `uniform(seed, i)`. While the sequences fit into the context each
    token costs one row, thanks to the cache; from then on the window slides, every token in it changes its position, and the
    whole window is computed anew.
    The model is put into evaluation mode until the iterator ends or is closed.

    Raises:
        ValueError: if ids are empty, or the model's logits are not numbers.
    """
    if not ids:
        raise ValueError("generation needs at least one token to begin with.")
    context, embedding = model.config.context, model.wte.weight
    low = embedding.dtype == torch.bfloat16
    sequences = [list(ids) for _ in samplings]
    fits = len(ids) <= context
    cache = KVCache(model.config, len(samplings), embedding.dtype, embedding.device) if fits else None
    was_training = model.training
    model.eval()
    try:
        for length in range(len(ids), len(ids) + n):
            if length > context:
                cache = None
            start = length - context if cache is None else cache.length
            new = torch.tensor([sequence[max(0, start) :] for sequence in sequences], device=embedding.device)  # (B, T)
            with torch.inference_mode(), torch.autocast(embedding.device.type, torch.bfloat16, enabled=low):
                logits = model.unembed(model.hidden(new, cache)[:, -1])  # (B, V)
                drawn = [_draw_one(row, sampling, length) for row, sampling in zip(logits, samplings, strict=True)]
            for sequence, token in zip(sequences, drawn, strict=True):
                sequence.append(token.id)
            yield drawn
    finally:
        model.train(was_training)


def _draw_one(logits: Tensor, sampling: Sampling, position: int) -> Drawn:
    choice = distribution(logits, sampling)
    u = uniform(sampling.seed, position)
    token = draw(choice.after, u)
    return Drawn(token, float(choice.before[token]), u)
