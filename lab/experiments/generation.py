"""Experiments on generation: greedy and sampled, the temperature, what each filter keeps, the KV cache."""

import re
import time
from collections import Counter
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lab.core.number_format import bytes_, fixed, probability, significant, whole
from lab.experiments.batch_passes import embedded, hidden
from lab.experiments.experiment_context import ExperimentContext, doubling
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.inspect.stages.logits_and_sampling_stage import largest
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Array, Block, Cell, Column, Matrix, Table, View
from lab.views.number_tables import LEFT, Numbers, bars, by_columns, number, share
from models.check import check
from models.config import SamplingSettings
from models.gpt import GPT, KVCache
from models.sampling import distribution, draw, generate, uniform

DRAWS, FEWER_DRAWS = 4000, 1000
"""Draws, and those with a large vocabulary, in which a draw takes milliseconds."""
LARGE_VOCABULARY = 10_000
AT_ONCE = 200
"""Draws between two checks."""
SEEDS = 20
FEWEST_SEEDS = 4
"""Seeds with which greedy decoding is tried, and those with a large model."""
GREEDY_AND_SAMPLING_LISTED = 10
FEW = 100
STAGES = (10, FEW, FEWER_DRAWS, DRAWS)
"""Numbers of draws after which the frequencies are compared with the probabilities."""


@experiment
def greedy_and_sampling(context: ExperimentContext) -> ExperimentResult:
    """Measures the share of draws that took the most probable token, `sampled_top_share` and `greedy_top_share`, its probability
    `top_probability`, and `largest_gap_points`, the most percentage points between frequency and probability after `draws` draws.

    Temperature and filters are those of the request. Raises: UserError: if there is no prompt.
    """
    at = context.stage_context()
    settings = replace(context.sampling, greedy=False, temperature=context.sampling.temperature or 1.0)
    taken = _greedy(context, at)
    seeds = taken.total()
    greedy = taken[at.answer] / seeds
    check()
    after, drawn = _draws(replace(at, sampling=settings))
    counts = np.bincount(drawn, minlength=len(after))
    gaps = {n: float(np.abs(np.bincount(drawn[:n], minlength=len(after)) / n - after).max()) for n in STAGES if n <= len(drawn)}
    top = int(after.argmax())
    measures: dict[str, Measure] = {
        "prompt": at.prompt_tokens.text,
        "draws": len(drawn),
        "seeds": seeds,
        "top": at.tokenizer.label(top),
        "top_probability": float(after[top]),
        "sampled_top_share": float(counts[top] / len(drawn)),
        "greedy_top_share": greedy,
        "distinct": int(np.count_nonzero(counts)),
        "largest_gap_points": 100 * gaps[len(drawn)],
    }
    title = "|frequency − probability|, the largest of all tokens"
    gap_table = by_columns(title, ("draws", map(whole, gaps)), ("largest gap", bars(gaps.values(), 4)))
    blocks: list[Block] = [_tokens(at, after, counts, drawn, taken), gap_table]
    sentence = (
        f"After {at.here} greedy decoding takes “{at.tokenizer.label(top)}” with {probability(greedy)} of {seeds} seeds; "
        f"{whole(len(drawn))} draws take it {probability(float(counts[top] / len(drawn)))} of the time, its probability being "
        f"{probability(float(after[top]))}."
    )
    return ExperimentResult(View("greedy_and_sampling", "greedy and sampling", sentence, blocks), measures)


def _greedy(context: ExperimentContext, at: StageContext) -> Counter[int]:
    """Tokens that greedy decoding takes with each of the seeds."""
    prompt = at.ids[: at.position + 1]
    taken = Counter[int]()
    affordable = context.affordable(SEEDS * len(prompt)) // len(prompt)
    for seed in range(max(FEWEST_SEEDS, min(SEEDS, affordable))):
        taken[next(generate(context.model, prompt, 1, SamplingSettings(greedy=True, seed=seed))).id] += 1
        check()
    return taken


def _draws(at: StageContext) -> tuple[Numbers, Numbers]:
    """The probabilities (V,) that are drawn from, and the ids of all draws, each with a random number of its own."""
    after = distribution(torch.from_numpy(at.logits), at.sampling).after
    drawn = np.zeros(DRAWS if len(after) <= LARGE_VOCABULARY else FEWER_DRAWS, np.int64)
    for index in range(len(drawn)):
        drawn[index] = draw(after, uniform(at.sampling.seed, index))
        if (index + 1) % AT_ONCE == 0:
            check()
    return after.numpy(), drawn


def _tokens(at: StageContext, after: Numbers, counts: Numbers, drawn: Numbers, taken: Counter[int]) -> Table:
    order = np.argsort(-after, kind="stable")[:GREEDY_AND_SAMPLING_LISTED].tolist()
    first = np.bincount(drawn[:FEW], minlength=len(after))
    return by_columns(
        f"the token after {at.here}",
        (Column("token", "left"), map(at.tokenizer.label, order)),
        ("probability", (share(float(after[id_]), digits=2) for id_ in order)),
        (Column(f"{FEW} draws", optional=2), (share(float(first[id_] / FEW), digits=2) for id_ in order)),
        (f"{whole(len(drawn))} draws", (share(float(counts[id_] / len(drawn)), digits=2) for id_ in order)),
        (Column("greedy", optional=1), (share(taken[id_] / taken.total(), digits=2) for id_ in order)),
    )


TEMPERATURES = (0.25, 0.5, 1.0, 2.0, 4.0)
EXTREMES = (TEMPERATURES[0], TEMPERATURES[-1])
"""Left out where the screen is narrow."""
TEMPERATURE_LISTED = 8


@experiment
def temperature(context: ExperimentContext) -> ExperimentResult:
    """Measures `changed_top`, the number of temperatures at which another token than at 1 is the most probable, `changed_order`,
    those at which the order of the tokens differs, and `coldest_top` and `hottest_top`, probabilities of the first.

    Raises: UserError: if there is no prompt.
    """
    at = context.stage_context()
    logits = torch.from_numpy(at.logits)
    found: dict[float, Numbers] = {}
    for each in TEMPERATURES:
        found[each] = distribution(logits, SamplingSettings(temperature=each)).after.numpy()
        check()
    usual, order = found[1.0], np.argsort(-at.logits, kind="stable")
    shown = largest(at.logits, TEMPERATURE_LISTED)
    measures: dict[str, Measure] = {
        "prompt": at.prompt_tokens.text,
        "temperatures": len(TEMPERATURES),
        "changed_top": sum(each.argmax() != usual.argmax() for each in found.values()).item(),
        "changed_order": sum(bool((np.diff(each[order]) > 0).any()) for each in found.values()),
        "coldest": TEMPERATURES[0],
        "hottest": TEMPERATURES[-1],
        "coldest_top": float(found[TEMPERATURES[0]].max()),
        "hottest_top": float(found[TEMPERATURES[-1]].max()),
    }
    columns = [Column("token", "left"), *(Column(f"T = {each:g}", optional=int(each in EXTREMES)) for each in found)]
    cells = {id_: [share(float(each[id_]), digits=2) for each in found.values()] for id_ in shown}
    rows = [[Cell(at.tokenizer.label(id_)), *cells[id_]] for id_ in shown]
    entropies = [Cell("entropy, bits"), *(number(_entropy(each), 2) for each in found.values())]
    blocks: list[Block] = [Table(columns, rows, title=f"the token after {at.here}, by temperature", total=entropies)]
    sentence = (
        f"From temperature {TEMPERATURES[0]:g} to {TEMPERATURES[-1]:g} “{at.tokenizer.label(shown[0])}” goes from "
        f"{cells[shown[0]][0].text} to {cells[shown[0]][-1].text}."
    )
    return ExperimentResult(View("temperature", "temperature", sentence, blocks), measures)


def _entropy(probabilities: Numbers) -> float:
    positive = probabilities[probabilities > 0]
    return max(0.0, float(-(positive * np.log2(positive)).sum()))


ROUNDS = 5
"""Times that each length is measured; the least counts, since other programs only add to it."""
LONGEST = 1024


class Forward(NamedTuple):
    """A forward pass: the logits after its last token, its time, and the rows computed in each layer."""

    logits: Tensor
    seconds: float
    rows: int


class Timed(NamedTuple):
    """The forward pass for one more token after `length` − 1, without the cache and with it."""

    length: int
    without: Forward
    cached: Forward

    @property
    def difference(self) -> float:
        """The largest difference of a logit."""
        return float((self.cached.logits - self.without.logits).abs().max())


@experiment
def kv_cache(context: ExperimentContext) -> ExperimentResult:
    """Measures `largest_difference` of a logit with and without the cache, `key_difference` between cached keys and those of a
    whole forward pass, `rows_with` and `rows_without` computed for the longest sequence, `speedup` there, `numbers_per_token` and
    `bytes_per_token` that the cache keeps, `bytes_last` for all tokens of it, and `bytes_state`, those of one vector a layer.

    The sequence is the prompt, continued greedily up to the context, with a large model less far. Raises: UserError: without a
    prompt.
    """
    most = min(context.config.context, context.affordable(LONGEST, passes=2 * ROUNDS + 2))
    ids = context.ids[-most:]
    for token in generate(context.model, ids[-most:], most - len(ids), SamplingSettings(greedy=True)):
        ids.append(token.id)
        check()
    timed: list[Timed] = []
    for length in doubling(len(ids)):
        timed += [_timed(context, ids[:length])]
    key_difference = _key_difference(context, ids)
    cache = KVCache(context.config)
    numbers = cache.memory.numel() // context.config.context
    last = timed[-1]
    measures: dict[str, Measure] = {
        "tokens": last.length,
        "layers": context.config.layers,
        "width": context.config.width,
        "largest_difference": max(each.difference for each in timed),
        "key_difference": key_difference,
        "rows_with": last.cached.rows,
        "rows_without": last.without.rows,
        "milliseconds_with": last.cached.seconds * 1000,
        "milliseconds_without": last.without.seconds * 1000,
        "speedup": last.without.seconds / last.cached.seconds,
        "numbers_per_token": numbers,
        "bytes_per_token": numbers * cache.memory.element_size(),
        "bytes_last": numbers * cache.memory.element_size() * last.length,
        "bytes_state": context.config.layers * context.config.width * cache.memory.element_size(),
    }
    blocks: list[Block] = [_times(timed), _contents(context, cache.memory, last.length)]
    sentence = (
        f"For token {whole(last.length)} each layer computes {whole(last.cached.rows)} row with the cache and "
        f"{whole(last.without.rows)} without: {fixed(last.cached.seconds * 1000, 2)} ms and "
        f"{fixed(last.without.seconds * 1000, 2)} ms on this machine. "
        f"The logits differ by at most {significant(float(measures['largest_difference']), 2)}."
    )
    return ExperimentResult(View("kv_cache", "with and without the KV cache", sentence, blocks), measures)


def _timed(context: ExperimentContext, ids: list[int]) -> Timed:
    model, cache = context.model, KVCache(context.config)
    given = torch.tensor([ids])
    if len(ids) > 1:
        with torch.inference_mode():
            model.hidden(given[:, :-1], cache)
    best: dict[bool, Forward] = {}
    for _ in range(ROUNDS):
        for uses_cache in (False, True):
            check()
            cache.length = len(ids) - 1
            found = _forward(model, given[:, -1:], cache) if uses_cache else _forward(model, given, None)
            best[uses_cache] = min(found, best.get(uses_cache, found), key=lambda each: each.seconds)
    return Timed(len(ids), best[False], best[True])


def _forward(model: GPT, ids: Tensor, cache: KVCache | None) -> Forward:
    """The logits after the last of `ids` (1, T), timed, and the number of rows that layer 1 computes for them."""
    rows: list[int] = []
    hook = model.blocks[0].attn.c_attn.register_forward_hook(lambda module, inputs, output: rows.append(output.shape[1]))
    try:
        with torch.inference_mode():
            began = time.perf_counter()
            logits = model.unembed(model.hidden(ids, cache)[:, -1])
            seconds = time.perf_counter() - began
    finally:
        hook.remove()
    return Forward(logits, seconds, rows[0])


def _key_difference(context: ExperimentContext, ids: list[int]) -> float:
    """Largest difference between the keys that a token-by-token pass leaves in the cache and those of one pass over all."""
    cache, given = KVCache(context.config), torch.tensor([ids])
    for index in range(len(ids)):
        with torch.inference_mode():
            context.model.hidden(given[:, index : index + 1], cache)
        check()
    computed: list[Tensor] = []

    def watch(layer: int, k: Any, v: Any) -> tuple[Any, Any]:
        computed.append(k)
        return k, v

    hidden(context.model, embedded(context.model, given), watch)
    return max(float((cache.keys[layer, :, :, : len(ids)] - k).abs().max()) for layer, k in enumerate(computed))


def _times(timed: list[Timed]) -> Table:
    most = max(way.seconds for each in timed for way in (each.without, each.cached))

    def cell(way: Forward) -> Cell:
        return Cell(f"{fixed(way.seconds * 1000, 2)} ms", value=way.seconds, bar=way.seconds / most)

    return by_columns(
        f"one more token, least of {ROUNDS} times",
        ("tokens", (whole(each.length) for each in timed)),
        ("without cache", (cell(each.without) for each in timed)),
        ("with cache", (cell(each.cached) for each in timed)),
        (Column("rows computed", optional=2), (f"{whole(each.without.rows)} / {whole(each.cached.rows)}" for each in timed)),
        (Column("max |Δ logit|", optional=1), (significant(each.difference, 2) for each in timed)),
    )


def _contents(context: ExperimentContext, memory: Tensor, tokens: int) -> Table:
    config = context.config
    per_layer = memory[0].numel() // config.context
    each, size = per_layer * config.layers, memory.element_size()
    rows = [
        ["per layer and token", f"2 × {whole(config.width)}", whole(per_layer), bytes_(per_layer * size)],
        ["per token", f"{config.layers} × {whole(per_layer)}", whole(each), bytes_(each * size)],
        [f"for {whole(tokens)} tokens", f"{whole(tokens)} × {whole(each)}", whole(each * tokens), bytes_(each * tokens * size)],
    ]
    columns = [LEFT, Column("keys and values"), Column("numbers"), Column("bytes")]
    return Table(columns, [[Cell(text) for text in row] for row in rows], title="kept in the cache")


FILTERS: dict[str, SamplingSettings] = {
    "none": SamplingSettings(),
    "top-k 5": SamplingSettings(top_k=5),
    "top-p 0.9": SamplingSettings(top_p=0.9),
    "min-p 0.1": SamplingSettings(min_p=0.1),
    "T0.5": SamplingSettings(temperature=0.5),
    "T2": SamplingSettings(temperature=2.0),
    "T2 top-k 5": SamplingSettings(temperature=2.0, top_k=5),
    "T2 top-p 0.9": SamplingSettings(temperature=2.0, top_p=0.9),
    "T2 min-p 0.1": SamplingSettings(temperature=2.0, min_p=0.1),
}
"""Settings side by side; T2 is temperature 2, at which a filter cuts what that has made of the probabilities."""


@experiment
def filters(context: ExperimentContext) -> ExperimentResult:
    """Measures the number of tokens that each filter keeps, such as `top_k_5`, `t2`, temperature 2, and `t2_top_k_5`.

    Raises: UserError: if there is no prompt.
    """
    at = context.stage_context()
    found = {name: distribution(torch.from_numpy(at.logits), settings) for name, settings in FILTERS.items()}
    kept = {name: int(each.kept.sum()) for name, each in found.items()}
    shares = {name: 1.0 if each.kept.all() else float(each.before[each.kept].sum()) for name, each in found.items()}
    measures: dict[str, Measure] = {re.sub(r"\W+", "_", name).lower(): kept[name] for name in FILTERS}
    table = by_columns(
        f"the token after {at.here}; T: temperature",
        (Column("filter", "left"), FILTERS),
        ("tokens kept", map(whole, kept.values())),
        ("their probability at T1", map(share, shares.values())),
        ("the first is drawn", (share(float(each.after.max())) for each in found.values())),
    )
    shown = largest(at.logits, 10)
    picture = Matrix(
        "probability to be drawn, the most probable tokens",
        list(found),
        [at.tokenizer.label(id_) for id_ in shown],
        Array.of(np.stack([np.where(each.kept.numpy(), each.after.numpy(), np.nan)[shown] for each in found.values()])),
        scale="sequential",
        limit=1.0,
        masked="cut",
    )
    top_k, top_p, min_p = (f"{name} keeps {whole(kept[name])}" for name in ("top-k 5", "top-p 0.9", "min-p 0.1"))
    hot_p, hot_min = (whole(kept[name]) for name in ("T2 top-p 0.9", "T2 min-p 0.1"))
    sentence = f"After {at.here} {top_k}, {top_p}, {min_p}. At temperature 2 top-p keeps {hot_p}, min-p {hot_min}."
    return ExperimentResult(View("filters", "what each filter keeps", sentence, [picture, table]), measures)
