"""The KV cache: its contents, and one more token with and without it: the same logits, the rows computed, the time."""

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.core.number_format import bytes_, fixed, significant, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Block, Cell, Column, Table, View
from models.unembed import Slices

if TYPE_CHECKING:
    from torch import Tensor

    from models.gpt import GPT
    from models.kv_cache import KVCache

ROUNDS = 5
"""Times that each length is measured; the least counts, since other programs only add to it."""
LONGEST = 1024


class Timed(NamedTuple):
    """One more token after `length` − 1: seconds and rows computed in each layer, and the largest difference of a logit."""

    length: int
    without: float
    with_it: float
    rows_without: int
    rows_with: int
    difference: float


class Forward(NamedTuple):
    logits: "Tensor"
    seconds: float
    rows: int


def kv_cache(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `largest_difference` of a logit with and without the cache, `key_difference` between cached keys and those of a
    whole forward pass, `rows_with` and `rows_without` computed for the longest sequence, `speedup` there, `numbers_per_token` and
    `bytes_per_token` that the cache keeps.

    The sequence is the prompt, continued greedily up to the context, with a large model less far. Raises: UserError: without a
    prompt.
    """
    from models.kv_cache import KVCache
    from models.sampling import generate
    from models.sampling_settings import SamplingSettings

    most = min(context.config.context, context.affordable(LONGEST, passes=2 * ROUNDS + 2))
    ids = context.ids[-most:]
    for token in generate(context.model, ids[-most:], most - len(ids), SamplingSettings(greedy=True)):
        ids.append(token.id)
        yield
    timed = yield from _timed_all(context, ids)
    key_difference = yield from _key_difference(context, ids)
    cache = KVCache(context.config)
    numbers = cache.memory.numel() // context.config.context
    last = timed[-1]
    measures: dict[str, Measure] = {
        "tokens": last.length,
        "layers": context.config.layers,
        "width": context.config.width,
        "largest_difference": max(each.difference for each in timed),
        "key_difference": key_difference,
        "rows_with": last.rows_with,
        "rows_without": last.rows_without,
        "milliseconds_with": last.with_it * 1000,
        "milliseconds_without": last.without * 1000,
        "speedup": last.without / last.with_it,
        "numbers_per_token": numbers,
        "bytes_per_token": numbers * cache.memory.element_size(),
    }
    blocks: list[Block] = [_times(timed), _contents(context, cache.memory, last.length)]
    sentence = (
        f"For token {whole(last.length)} each layer computes {whole(last.rows_with)} row with the cache and "
        f"{whole(last.rows_without)} without: {fixed(last.with_it * 1000, 2)} ms and {fixed(last.without * 1000, 2)} ms on this "
        f"machine. The logits differ by at most {significant(float(measures['largest_difference']), 2)}."
    )
    return ExperimentResult(View("kv_cache", "with and without the KV cache", sentence, blocks), measures)


def _doubling(most: int) -> list[int]:
    """Powers of two up to `most`, and `most`."""
    return [*(1 << power for power in range(most.bit_length()) if 1 << power < most), most]


def _timed_all(context: ExperimentContext, ids: list[int]) -> Slices[list[Timed]]:
    timed: list[Timed] = []
    for length in _doubling(len(ids)):
        timed += [(yield from _timed(context, ids[:length]))]
    return timed


def _timed(context: ExperimentContext, ids: list[int]) -> Slices[Timed]:
    import torch

    from models.kv_cache import KVCache

    model, cache = context.model, KVCache(context.config)
    given = torch.tensor([ids])
    if len(ids) > 1:
        with torch.inference_mode():
            model.hidden(given[:, :-1], cache)
    best: dict[bool, Forward] = {}
    for _ in range(ROUNDS):
        for uses_cache in (False, True):
            yield
            cache.length = len(ids) - 1
            found = _forward(model, given[:, -1:], cache) if uses_cache else _forward(model, given, None)
            best[uses_cache] = min(found, best.get(uses_cache, found), key=lambda each: each.seconds)
    without, with_it = best[False], best[True]
    difference = float((with_it.logits - without.logits).abs().max())
    return Timed(len(ids), without.seconds, with_it.seconds, without.rows, with_it.rows, difference)


def _forward(model: "GPT", ids: "Tensor", cache: "KVCache | None") -> Forward:
    """The logits after the last of `ids` (1, T), timed, and the number of rows that layer 1 computes for them."""
    import torch

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


def _key_difference(context: ExperimentContext, ids: list[int]) -> Slices[float]:
    """Largest difference between the keys that a token-by-token pass leaves in the cache and those of one pass over all."""
    import torch

    from lab.experiments.attention.forward_pass import embedded, hidden
    from models.kv_cache import KVCache

    cache, given = KVCache(context.config), torch.tensor([ids])
    for index in range(len(ids)):
        with torch.inference_mode():
            context.model.hidden(given[:, index : index + 1], cache)
        yield
    computed: list[Tensor] = []

    def watch(layer: int, k: Any, v: Any) -> tuple[Any, Any]:
        computed.append(k)
        return k, v

    yield from hidden(context.model, embedded(context.model, given), watch)
    return max(float((cache.keys[layer, :, :, : len(ids)] - k).abs().max()) for layer, k in enumerate(computed))


def _times(timed: list[Timed]) -> Table:
    most = max(max(each.without, each.with_it) for each in timed)
    rows = [
        [
            Cell(whole(each.length)),
            Cell(f"{fixed(each.without * 1000, 2)} ms", value=each.without, bar=each.without / most),
            Cell(f"{fixed(each.with_it * 1000, 2)} ms", value=each.with_it, bar=each.with_it / most),
            Cell(f"{whole(each.rows_without)} / {whole(each.rows_with)}"),
            Cell(significant(each.difference, 2)),
        ]
        for each in timed
    ]
    columns = [Column("tokens"), Column("without cache"), Column("with cache"), Column("rows computed", optional=2)]
    columns.append(Column("max |Δ logit|", optional=1))
    return Table(columns, rows, title=f"one more token, least of {ROUNDS} times")


def _contents(context: ExperimentContext, memory: "Tensor", tokens: int) -> Table:
    config = context.config
    per_layer = memory[0].numel() // config.context
    each, size = per_layer * config.layers, memory.element_size()
    rows = [
        ["per layer and token", f"2 × {whole(config.width)}", whole(per_layer), bytes_(per_layer * size)],
        ["per token", f"{config.layers} × {whole(per_layer)}", whole(each), bytes_(each * size)],
        [f"for {whole(tokens)} tokens", f"{whole(tokens)} × {whole(each)}", whole(each * tokens), bytes_(each * tokens * size)],
    ]
    columns = [Column("", "left"), Column("keys and values"), Column("numbers"), Column("bytes")]
    return Table(columns, [[Cell(text) for text in row] for row in rows], title="kept in the cache")
