"""Experiments on the speed of generation: many tokens at once, the bound of memory, weights of fewer bits, speculative decoding.

A time is the least of `ROUNDS`, since other programs only add to it; the most is shown beside it.
"""

import time
from collections.abc import Callable
from copy import deepcopy
from math import exp

import torch
from torch import Tensor, nn

from lab.core.errors import UserError
from lab.core.number_format import bytes_, fixed, probability, significant, speed, whole
from lab.experiments.batch_passes import affordable_windows, losses_of
from lab.experiments.experiment_context import ExperimentContext, doubling
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.inspect.model_cache import OpenModel, load_open_model
from lab.runs.find_runs import list_runs
from lab.runs.run_folder import tokenizer_of
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_tables import number
from models.check import check
from models.config import ModelConfig, SamplingSettings
from models.gpt import GPT, KVCache
from models.parameter_count import kv_cache_bytes, parameter_count
from models.sampling import generate
from models.speculative import Draft, ModelDraft, speculate, text_draft

ROUNDS, MOST_TEXTS = 5, 64
TIME = Column("ms: least (to most)")


def timed(work: Callable[[], object]) -> tuple[float, Cell]:
    """The least time that the work takes in seconds, and a cell with the least and the most; a first time does not count."""
    seconds = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
        check()
    least, most = min(seconds[1:]), max(seconds[1:])
    return least, Cell(f"{fixed(least * 1000, 2)} (to {fixed(most * 1000, 2)})", least)


def one_pass(model: GPT, texts: int, tokens: int, kept: int) -> Callable[[], object]:
    """A forward pass for so many new tokens of each text, behind as many kept ones, up to the logits of the next token."""
    ids, cache = torch.zeros((texts, tokens), dtype=torch.int64), KVCache(model.config, texts)
    cache.memory.zero_()

    @torch.inference_mode()
    def work() -> None:
        cache.length = kept
        model.unembed(model.hidden(ids, cache)[:, -1])

    return work


@experiment
def tokens_at_once(context: ExperimentContext) -> ExperimentResult:
    """Measures of a forward pass of the most tokens at once, `count`, against one of a single token the `ratio` of the tokens per
    second, and `longer`, that of the times. The input `unit` is `tokens` of one text, or `texts`, each with one token.
    """
    half, is_prompt = context.config.context // 2, context.inputs.get("unit", "tokens") == "tokens"
    kind, most = ("tokens", context.config.context) if is_prompt else ("texts", MOST_TEXTS)
    times, rows = [], []
    counts = doubling(min(most, context.affordable(most, passes=ROUNDS + 1)))
    for count in counts:
        seconds, cell = timed(one_pass(context.model, *((1, count, 0) if is_prompt else (count, 1, half))))
        times.append(seconds)
        rows.append([Cell(whole(count)), cell, Cell(speed(count / seconds), count / seconds)])
    longer, ratio = times[-1] / times[0], counts[-1] * times[0] / times[-1]
    sentence = (
        f"A pass over {whole(counts[-1])} {kind} takes {significant(longer, 2)} times as long as one over a single token: "
        f"{significant(ratio, 2)} times as many tokens a second."
    )
    columns = [Column(f"{kind} at once"), TIME, Column("speed")]
    title = "tokens of one text, as a prompt is read" if is_prompt else f"texts, each one token behind {whole(half)}"
    view = View("tokens_at_once", "tokens at once", sentence, [Table(columns, rows, title=title)])
    return ExperimentResult(view, {"count": counts[-1], "ratio": ratio, "longer": longer})


READ = 1 << 25
"""Weights of the matrix whose product with a vector measures the memory's bandwidth: 134 MB, more than most caches hold."""
LARGER = ModelConfig(layers=8, heads=8, width=512, context=128, vocab_size=512)
"""A model of 102 MB with random weights: its speed is that of a trained one."""


@experiment
def memory_bound(context: ExperimentContext) -> ExperimentResult:
    """Measures the memory's `bandwidth` in bytes per second, the `share` of the tokens per second which it allows that decoding
    reaches at the end of a full context, and `larger_share`, that of a larger model.
    """
    matrix, vector = torch.full((READ >> 10, 1024), 0.5), torch.ones(1024)
    check()
    bandwidth = 4 * READ / timed(lambda: torch.mv(matrix, vector))[0]
    rows, shares = [], []
    for name, model in (("your model", context.model), (f"{LARGER.layers} layers × {LARGER.width}", GPT(LARGER).eval())):
        weights, cached = bytes_read(model.config)
        bound = bandwidth / (weights + cached)
        seconds, cell = timed(one_pass(model, 1, 1, model.config.context - 1))
        shares.append(1 / seconds / bound)
        sizes = [Cell(bytes_(each), each) for each in (weights + cached, cached)]
        rows.append([Cell(name), *sizes, Cell(speed(bound), bound), cell, Cell(probability(shares[-1], 0), shares[-1])])
    columns = [Column("fp32", "left"), Column("bytes read"), Column("of these KV cache", optional=1), Column("at most")]
    columns += [TIME, Column("reached")]
    sentence = f"Memory gives {bytes_(bandwidth)} a second here. "
    sentence += f"Of what that allows your model reaches {rows[0][-1].text}, the larger one {rows[1][-1].text}."
    table = Table(columns, rows, title="bytes read for the last token of a full context, and its time")
    view = View("memory_bound", "the bound of memory", sentence, [table])
    return ExperimentResult(view, {"bandwidth": bandwidth, "share": shares[0], "larger_share": shares[1]})


def bytes_read(config: ModelConfig) -> tuple[int, int]:
    """Bytes of fp32 weights, with one row of the positions, and of keys and values that the last token of a context reads."""
    return 4 * (parameter_count(config) - (config.context - 1) * config.width), kv_cache_bytes(config, config.context)


BITS = (32, 8, 6, 4, 3, 2)
QUANTIZED_WINDOWS, QUANTIZED_FLOPS = 64, 1e10


@experiment
def fewer_bits(context: ExperimentContext) -> ExperimentResult:
    """Measures the perplexity of windows of the run's text with the weights of the linear layers in 32, 8, 6, 4, 3 and 2 bits,
    `perplexity_32` and so on, the size of all weights, `bytes_32` and so on, and the rise with 8 bits, `rise_8`.
    """
    windows, part = context.windows(affordable_windows(context.config, QUANTIZED_FLOPS, QUANTIZED_WINDOWS))
    copy, total = deepcopy(context.model), parameter_count(context.config)
    layers = [(module, module.weight.detach().clone()) for module in copy.modules() if isinstance(module, nn.Linear)]
    rounded, scales = sum(weight.numel() for _, weight in layers), sum(len(weight) for _, weight in layers)
    found: dict[int, float] = {}
    measures, rows = dict[str, Measure](part=part), []
    for bits in BITS:
        with torch.no_grad():
            for module, weight in layers:
                module.weight.copy_(quantized(weight, bits) if bits < 32 else weight)
        found[bits] = exp(float(losses_of(copy, windows).double().mean()))
        size = 4 * (total - rounded + scales) + rounded * bits // 8 if bits < 32 else 4 * total
        measures |= {f"perplexity_{bits}": found[bits], f"bytes_{bits}": size}
        change = f"{fixed(100 * (found[bits] / found[32] - 1), 2, sign=True)}%"
        rows.append([Cell(whole(bits)), number(found[bits], 4), Cell(change), Cell(bytes_(size), size, bar=size / (4 * total))])
    columns = [Column("bits a weight"), Column("perplexity"), Column("change"), Column("size")]
    title = f"{len(windows)} windows of the {part}; {probability(rounded / total, 0)} of the weights are rounded"
    sentence = f"8 bits change the perplexity by {rows[1][2].text}, and the size from {rows[0][3].text} to {rows[1][3].text}."
    view = View("fewer_bits", "weights of fewer bits", sentence, [Table(columns, rows, title=title)])
    return ExperimentResult(view, {**measures, "rise_8": found[8] / found[32] - 1})


def quantized(weight: Tensor, bits: int) -> Tensor:
    """A matrix (out, in), each row rounded to whole numbers of so many bits, symmetric about 0, times a scale of its own."""
    scale: Tensor = weight.abs().amax(1, keepdim=True).clamp_min(1e-12) / (2 ** (bits - 1) - 1)
    return (weight / scale).round() * scale


NEW_TOKENS, AHEAD, COUNTED = 64, 4, 2_000_000  # of the last, training tokens, a draft counts at most


@experiment
def speculative_decoding(context: ExperimentContext) -> ExperimentResult:
    """Measures for the `draft` that saves most the `passes` for `tokens` tokens, `same`, whether the greedy text is that of
    decoding one by one, and `speedup`, here. Drafts are the training text's own counts, and a smaller run of the user's.
    """
    tokens, model = min(NEW_TOKENS, context.config.context // 2), context.model
    if tokens <= AHEAD:
        raise UserError(f"The context of {context.run_name} is too short for this experiment.")
    begin = context.ids[tokens - context.config.context :]
    drafts: dict[str, Draft] = {"the text's counts": text_draft(context.tokens()[0][:COUNTED], context.config.vocab_size)}
    if smaller := _smaller_run(context):
        drafts[f"run {smaller.run.name}"] = ModelDraft(smaller.model)
    greedy = SamplingSettings(greedy=True)
    plain = [token.id for token in generate(model, begin, tokens, greedy)]
    alone, cell = timed(lambda: list(generate(model, begin, tokens, greedy)))
    rows, best = [[Cell("none, greedy"), Cell(whole(tokens), tokens), Cell(""), cell]], (tokens + 1, 0.0, "", False)
    for name, draft in drafts.items():
        for way, sampling in {"greedy": greedy, "sampled": SamplingSettings(seed=context.sampling.seed)}.items():

            def work(draft: Draft = draft, sampling: SamplingSettings = sampling) -> list[list[int]]:
                return list(speculate(model, draft, begin, tokens, sampling, AHEAD))

            found, (seconds, cell) = work(), timed(work)
            passes = len(found)
            rows.append([Cell(f"{name}, {way}"), Cell(whole(passes), passes), number(tokens / passes - 1, 2), cell])
            if sampling is greedy:
                best = min(best, (passes, alone / seconds, name, [token for each in found for token in each] == plain))
    passes, speedup, name, same = best
    columns = [Column("draft, decoding", "left"), Column("passes"), Column("accepted a pass"), TIME]
    sentence = (
        f"With {name} as draft {tokens} tokens take {passes} passes of the model, at {significant(speedup, 2)} times the speed "
        f"of one by one. The greedy text is {'the same, token for token' if same else 'another: the two ways round differently'}."
    )
    table = Table(columns, rows, title=f"{tokens} new tokens; at most {AHEAD} are proposed for a pass")
    view = View("speculative_decoding", "speculative decoding", sentence, [table])
    measures: dict[str, Measure] = {"tokens": tokens, "passes": passes, "draft": name, "same": same, "speedup": speedup}
    return ExperimentResult(view, measures)


def _smaller_run(context: ExperimentContext) -> OpenModel | None:
    """The user's newest run that is smaller and has the same tokenizer."""
    for run in list_runs():
        try:
            shape = run.config.model
            fits = shape.context >= context.config.context and parameter_count(shape) < parameter_count(context.config)
            if fits and tokenizer_of(run).checksum == context.tokenizer.checksum:
                return load_open_model(run, "best")
        except UserError:
            continue  # damaged, or without weights yet: no draft
    return None
