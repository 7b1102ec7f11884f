"""Sampling the next token from logits: repetition penalty, temperature, filters, and a random number that depends on seed and
position only."""

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.config import SamplingSettings
from models.decoding import HalfMatrices, OneTokenDecoder, supports_decode
from models.gpt import GPT, KVCache, in_evaluation

Numbers = NDArray[np.float64]


class LogitsError(ValueError):
    """Logits that are NaN or infinite, from which no token can be drawn."""


@dataclass(frozen=True)
class Distribution:
    """Next-token probabilities over the whole vocabulary, each (V,), float64, on the CPU.

    `before` is the softmax of the logits as they are (temperature 1, no filter), `after` what is drawn from, 0 for tokens
    filtered out, and `kept` (bool) says which tokens the filters left.
    """

    before: Tensor
    after: Tensor
    kept: Tensor


@dataclass(frozen=True)
class SampledToken:
    """A sampled token, its probability (temperature 1, no filter), and the random number that picked it."""

    id: int
    probability: float
    u: float


def distribution(logits: Tensor, sampling: SamplingSettings, window: Sequence[int] = ()) -> Distribution:
    """The next token's probabilities before and after penalty, temperature and filters, from logits (V,), in float64. `window`
    holds the ids that a repetition penalty is for.

    Raises:
        ValueError: if the logits hold NaN or +inf, as those of a model whose training diverged do.
    """
    values = _less_largest(logits)
    before = _probabilities(values)
    scores = _penalized(logits, values, sampling, window)
    if sampling.greedy or sampling.temperature == 0.0:
        order, probabilities = np.array([scores.argmax()]), np.ones(1)
    elif not sampling.top_k and sampling.top_p >= 1.0 and not sampling.min_p:
        after = before if sampling.temperature == 1.0 and scores is values else _probabilities(scores, sampling.temperature)
        return Distribution(torch.from_numpy(before), torch.from_numpy(after), torch.ones(len(values), dtype=torch.bool))
    else:
        if sampling.top_k:
            order = top_indices(scores, sampling.top_k)
            probabilities = _probabilities(scores[order], sampling.temperature)
            ends: Numbers = probabilities.cumsum()
        else:
            probabilities = _probabilities(scores, sampling.temperature)
            order, ends = _most_probable(probabilities, sampling.top_p)
            probabilities = probabilities[order]
        if sampling.top_p < 1.0:
            n = max(1, int((ends - probabilities < sampling.top_p).sum()))
            order, probabilities = order[:n], probabilities[:n] / probabilities[:n].sum()
        if sampling.min_p:
            n = int((probabilities >= sampling.min_p * probabilities[0]).sum())
            order, probabilities = order[:n], probabilities[:n] / probabilities[:n].sum()
    after, kept = np.zeros_like(before), np.zeros(len(values), np.bool_)
    after[order], kept[order] = probabilities, True
    return Distribution(torch.from_numpy(before), torch.from_numpy(after), torch.from_numpy(kept))


def _penalized(logits: Tensor, values: Numbers, sampling: SamplingSettings, window: Sequence[int]) -> Numbers:
    """The logits minus their maximum, those of the window's tokens penalized first; `values` themselves without a penalty."""
    if sampling.repetition_penalty == 1.0 or not len(window):
        return values
    scores: Numbers = logits.detach().cpu().double().numpy().copy()
    repeated = np.unique(np.asarray(window))
    of_them, penalty = scores[repeated], sampling.repetition_penalty
    scores[repeated] = np.where(of_them > 0, of_them / penalty, of_them * penalty)
    return scores - float(scores.max())


def _less_largest(logits: Tensor) -> Numbers:
    """The logits minus their maximum, in float64; raises as `distribution` does."""
    values: Numbers = logits.detach().cpu().double().numpy()  # in two steps, as MPS has no float64
    largest = float(values.max())  # NaN if any of them is
    if not -math.inf < largest < math.inf:
        raise LogitsError("The logits are NaN or infinite, so no token can be sampled; the model's training may have diverged.")
    return values - largest


def _probabilities(values: Numbers, temperature: float = 1.0) -> Numbers:
    """Softmax at that temperature of values (n,) whose maximum is 0."""
    with np.errstate(over="ignore"):  # at the coldest, the others become -inf, as they should
        exponentials = np.exp(values / temperature)
    exponentials /= exponentials.sum()
    return exponentials


def _most_probable(probabilities: Numbers, mass: float) -> tuple[NDArray[np.intp], Numbers]:
    """Tokens from the most probable down, ties by id, and their cumulative probabilities: at least as many as have together more
    than that mass, or all that are possible. Does not sort all for a few."""
    largest = float(probabilities.max())
    for least in (largest / 16, largest / 256, largest / 4096, 0.0):
        order = np.flatnonzero(probabilities > least)
        order = order[(-probabilities[order]).argsort(kind="stable")]
        ends: Numbers = probabilities[order].cumsum()
        if ends[-1] > mass:
            break
    return order, ends


def top_indices(values: Numbers, most: int) -> NDArray[np.intp]:
    """Indices of the `most` largest values (V,), the largest first, ties by index; does not sort all for a few."""
    if 4 * most < len(values):
        least = np.partition(values, -most)[-most]
        candidates = np.flatnonzero(values >= least)
        return candidates[(-values[candidates]).argsort(kind="stable")][:most]
    return (-values).argsort(kind="stable")[:most]


def uniform(seed: int, position: int) -> float:
    """A random number in [0, 1) that depends on (seed, position) only, so that a token can be undone and sampled again the same.

    The first word of the counter-based generator Philox4x64 (Salmon et al. 2011, "Parallel random numbers: as easy as
    1, 2, 3") with the seed as key and the position as counter; its top 53 bits are taken as a fraction.
    """
    word = np.random.Philox(key=seed, counter=position).random_raw()
    return float(int(word) >> 11) * 2.0**-53


def draw(after: Tensor, u: float) -> int:
    """The token at u in [0, 1) of the cumulative probabilities (V,), the largest first, ties by id (inverse transform)."""
    probabilities = after.numpy()
    at = u * float(probabilities.sum())
    order, ends = _most_probable(probabilities, at)
    return int(order[min(int(ends.searchsorted(at, side="right")), len(order) - 1)])


def generate(
    model: GPT, ids: Sequence[int], n: int, sampling: SamplingSettings, halves: HalfMatrices | None = None
) -> Iterator[SampledToken]:
    """Sample n tokens one after the other after ids, each seeing at most the last `context` tokens; see `generate_batch`."""
    with closing(generate_batch(model, ids, n, [sampling], halves)) as batch:
        for (drawn,) in batch:
            yield drawn


def generate_batch(
    model: GPT, ids: Sequence[int], n: int, samplings: Sequence[SamplingSettings], halves: HalfMatrices | None = None
) -> Generator[list[SampledToken], None, None]:
    """Sample n tokens one after the other after ids, for each of the settings, in one forward pass for all of them.

    The token at index i of the sequence is picked by `uniform(seed, i)`. While the sequences fit into the context each
    token costs one row, thanks to the KV cache; from then on the window slides, every token in it changes its position, and the
    whole window is computed anew. `halves` are used behind the prompt, where `supports_decode`, but not with a
    repetition penalty: it goes by the sign of a logit, and theirs are moved by a number that all share.
    The model is put into evaluation mode until the iterator ends or is closed.

    Raises:
        ValueError: if ids are empty, or the model's logits are NaN or infinite.
    """
    if not ids:
        raise ValueError("generation needs at least one token to begin with.")
    context, embedding = model.config.context, model.wte.weight
    low = embedding.dtype == torch.bfloat16
    sequences = [list(ids) for _ in samplings]
    fits = len(ids) <= context
    cache = KVCache(model.config, len(samplings), embedding.dtype, embedding.device) if fits else None
    halves = None if any(sampling.repetition_penalty != 1.0 for sampling in samplings) else halves
    one_by_one, decoder = supports_decode(model, len(samplings)), None
    with in_evaluation(model):
        for length in range(len(ids), len(ids) + n):
            if length > context:
                cache = None
            with torch.inference_mode():
                if cache is not None and cache.length and one_by_one:
                    decoder = decoder or OneTokenDecoder(model, cache, halves)
                    logits = decoder.logits(sequences[0][-1])[None]  # (1, V)
                else:
                    start = length - context if cache is None else cache.length
                    new = torch.tensor([sequence[max(0, start) :] for sequence in sequences], device=embedding.device)  # (B, T)
                    with torch.autocast(embedding.device.type, torch.bfloat16, enabled=low):
                        logits = model.unembed(model.hidden(new, cache)[:, -1])  # (B, V)
                drawn = [
                    _draw_one(row, sampling, sequence[-context:], length)
                    for row, sampling, sequence in zip(logits, samplings, sequences, strict=True)
                ]
            for sequence, token in zip(sequences, drawn, strict=True):
                sequence.append(token.id)
            yield drawn


def _draw_one(logits: Tensor, sampling: SamplingSettings, window: Sequence[int], position: int) -> SampledToken:
    u = uniform(sampling.seed, position)
    if sampling.greedy or sampling.temperature == 0.0:
        values = _less_largest(logits)
        token, exponentials = int(_penalized(logits, values, sampling, window).argmax()), np.exp(values)
        return SampledToken(token, float(exponentials[token] / exponentials.sum()), u)
    choice = distribution(logits, sampling, window)
    token = draw(choice.after, u)
    return SampledToken(token, float(choice.before[token]), u)
