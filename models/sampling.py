"""Sampling the next token from logits: repetition penalty, temperature, filters, and a random number that depends on seed and
position only."""

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from models.config import SamplingSettings
from models.gpt import EPSILON, GPT, KVCache
from models.parameter_count import parameter_count

Numbers = NDArray[np.float64]

FIRST = 128
"""Tokens that a draw searches before all are sorted."""


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
    values, before = _softmax(logits)
    scores = _penalized(logits, values, sampling, window)
    if sampling.greedy or sampling.temperature == 0.0:
        order, probabilities = np.array([scores.argmax()]), np.ones(1)
    elif not sampling.top_k and sampling.top_p >= 1.0 and not sampling.min_p:
        after = before if sampling.temperature == 1.0 and scores is values else _probabilities(scores, sampling.temperature)
        return Distribution(torch.from_numpy(before), torch.from_numpy(after), torch.ones(len(values), dtype=torch.bool))
    else:
        order = top_indices(scores, sampling.top_k or len(scores))
        probabilities = _probabilities(scores[order], sampling.temperature)
        if sampling.top_p < 1.0:
            sum_before_it = probabilities.cumsum() - probabilities
            n = max(1, int((sum_before_it < sampling.top_p).sum()))
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


def _softmax(logits: Tensor) -> tuple[Numbers, Numbers]:
    """The logits minus their maximum, and their softmax, in float64; raises as `distribution` does."""
    values: Numbers = logits.detach().cpu().double().numpy()  # in two steps, as MPS has no float64
    largest = float(values.max())  # NaN if any of them is
    if not -math.inf < largest < math.inf:
        raise LogitsError("The logits are NaN or infinite, so no token can be sampled; the model's training may have diverged.")
    values = values - largest
    return values, _probabilities(values)


def _probabilities(values: Numbers, temperature: float = 1.0) -> Numbers:
    """Softmax at that temperature of values (n,) whose maximum is 0."""
    with np.errstate(over="ignore"):  # at the coldest, the others become -inf, as they should
        exponentials = np.exp(values / temperature)
    exponentials /= exponentials.sum()
    return exponentials


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
    order = top_indices(probabilities, FIRST)
    ends = probabilities[order].cumsum()
    if at >= ends[-1] and len(order) < len(probabilities):
        order = top_indices(probabilities, len(probabilities))
        ends = probabilities[order].cumsum()
    index = int(ends.searchsorted(at, side="right"))
    return int(order[min(index, int(np.count_nonzero(probabilities)) - 1)])


def generate(model: GPT, ids: Sequence[int], n: int, sampling: SamplingSettings) -> Iterator[SampledToken]:
    """Sample n tokens one after the other after ids, each seeing at most the last `context` tokens; see `generate_batch`."""
    batch = generate_batch(model, ids, n, [sampling])
    try:
        for (drawn,) in batch:
            yield drawn
    finally:
        batch.close()


def generate_batch(
    model: GPT, ids: Sequence[int], n: int, samplings: Sequence[SamplingSettings]
) -> Generator[list[SampledToken], None, None]:
    """Sample n tokens one after the other after ids, for each of the settings, in one forward pass for all of them.

    The token at index i of the sequence is picked by `uniform(seed, i)`. While the sequences fit into the context each
    token costs one row, thanks to the KV cache; from then on the window slides, every token in it changes its position, and the
    whole window is computed anew.
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
    one_by_one, decoder = supports_decode(model, len(samplings)), None
    was_training = model.training
    model.eval()
    try:
        for length in range(len(ids), len(ids) + n):
            if length > context:
                cache = None
            with torch.inference_mode(), torch.autocast(embedding.device.type, torch.bfloat16, enabled=low):
                if cache is not None and cache.length and one_by_one:
                    decoder = decoder or OneTokenDecoder(model, cache)
                    logits = decoder.logits(sequences[0][-1])[None]  # (1, V)
                else:
                    start = length - context if cache is None else cache.length
                    new = torch.tensor([sequence[max(0, start) :] for sequence in sequences], device=embedding.device)  # (B, T)
                    logits = model.unembed(model.hidden(new, cache)[:, -1])  # (B, V)
                drawn = [
                    _draw_one(row, sampling, sequence[-context:], length)
                    for row, sampling, sequence in zip(logits, samplings, sequences, strict=True)
                ]
            for sequence, token in zip(sequences, drawn, strict=True):
                sequence.append(token.id)
            yield drawn
    finally:
        model.train(was_training)


def _draw_one(logits: Tensor, sampling: SamplingSettings, window: Sequence[int], position: int) -> SampledToken:
    u = uniform(sampling.seed, position)
    if sampling.greedy or sampling.temperature == 0.0:
        values, before = _softmax(logits)
        token = int(_penalized(logits, values, sampling, window).argmax())
        return SampledToken(token, float(before[token]), u)
    choice = distribution(logits, sampling, window)
    token = draw(choice.after, u)
    return SampledToken(token, float(choice.before[token]), u)


ONE_THREAD_UP_TO = 4_000_000
"""Weights up to which a core reads them from its caches, and a second thread costs more than it brings: micro took 128 µs a token
with one and 163 with two, beside other work on the same two cores (the least of 36 rounds)."""


def supports_decode(model: GPT, batch: int) -> bool:
    """Check that `OneTokenDecoder` can be used: one sequence, all weights in fp32, on a CPU."""
    return batch == 1 and all(weight.dtype == torch.float32 and weight.device.type == "cpu" for weight in model.parameters())


@dataclass(frozen=True)
class _Layer:
    """A block's weights, as (weight, bias), and its keys and values in the cache, (2, 1, H, context, D)."""

    ln_1: tuple[Tensor, Tensor]
    c_attn: tuple[Tensor, Tensor]
    attn_proj: tuple[Tensor, Tensor]
    ln_2: tuple[Tensor, Tensor]
    c_fc: tuple[Tensor, Tensor]
    mlp_proj: tuple[Tensor, Tensor]
    cache: Tensor


def _weight_and_bias(module: nn.Module) -> tuple[Tensor, Tensor]:
    weight, bias = module.weight, module.bias
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    return weight.detach(), bias.detach()


class OneTokenDecoder:
    """Compute the logits after one more token and add it to `cache`. The weights must not be replaced while it is in use.

    It is for one sequence and weights in fp32 on a CPU, where each call of an operation counts: one token is a vector (C,), each
    linear layer a product with a vector, and what is the same for every token is looked up once. Equals
    `GPT.unembed(GPT.hidden(ids, cache))`, up to the rounding of fp32. Make it and call it under `torch.inference_mode()`.
    """

    def __init__(self, model: GPT, cache: KVCache) -> None:
        config = model.config
        self._one_thread = parameter_count(config) <= ONE_THREAD_UP_TO
        self._cache, self._context, self._shape = cache, config.context, (config.width,)
        self._wte, self._wpe, self._ln_f = model.wte.weight.detach(), model.wpe.weight.detach(), _weight_and_bias(model.ln_f)
        self._layers = [
            _Layer(
                _weight_and_bias(block.ln_1),
                _weight_and_bias(block.attn.c_attn),
                _weight_and_bias(block.attn.c_proj),
                _weight_and_bias(block.ln_2),
                _weight_and_bias(block.mlp.c_fc),
                _weight_and_bias(block.mlp.c_proj),
                cache.memory[layer],
            )
            for layer, block in enumerate(model.blocks)
        ]
        self._qkv = torch.empty(3 * config.width)
        by_head = self._qkv.view(3, 1, config.heads, config.head_width)
        self._q, self._kv = by_head[0].unsqueeze(2), by_head[1:]  # (1, H, 1, D), (2, 1, H, D)

    def logits(self, token: int) -> Tensor:
        """Logits (V,) of the token after `token`. Raises ValueError if the context is full."""
        threads = torch.get_num_threads()
        if self._one_thread:
            torch.set_num_threads(1)
        try:
            return self._logits(token)
        finally:
            torch.set_num_threads(threads)

    def _logits(self, token: int) -> Tensor:
        at = self._cache.length
        if at >= self._context:
            raise ValueError(f"{at + 1} tokens do not fit into a context of {self._context}.")
        shape = self._shape
        x = self._wte[token] + self._wpe[at]  # (C,)
        for layer in self._layers:
            weight, bias = layer.c_attn
            torch.addmv(bias, weight, torch.layer_norm(x, shape, *layer.ln_1, EPSILON), out=self._qkv)
            layer.cache.select(3, at).copy_(self._kv)
            keys, values = layer.cache.narrow(3, 0, at + 1).unbind()  # (1, H, S, D)
            z = F.scaled_dot_product_attention(self._q, keys, values).view(shape)
            weight, bias = layer.attn_proj
            x.addmv_(weight, z).add_(bias)
            weight, bias = layer.c_fc
            post = F.gelu(torch.addmv(bias, weight, torch.layer_norm(x, shape, *layer.ln_2, EPSILON)), approximate="tanh")
            weight, bias = layer.mlp_proj
            x.addmv_(weight, post).add_(bias)
        self._cache.length = at + 1
        return torch.mv(self._wte, torch.layer_norm(x, shape, *self._ln_f, EPSILON))
