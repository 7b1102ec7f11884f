"""Experiment on the time of one token: how long it takes on this machine, and where the time goes."""

import time

from lab.core.number_format import fixed, probability, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment, share
from lab.views.blocks import Cell, Column, Table, View
from models.unembed import Slices

TIMES = 30
"""Times that the token is computed; the least counts, since other programs only add to it."""
PARTS = {
    "embedding": "embedding",
    "attention": "attention, all layers",
    "mlp": "MLPs, all layers",
    "output": "final norm and logits",
    "draw": "softmax and draw",
}


@experiment
def token_time(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `milliseconds`, the time in which one more token after the prompt is computed with the KV cache and drawn, the
    least of some; `per_second`; the share of each part, such as `attention_share`; and `prompt_milliseconds`, in which the
    `tokens` of the prompt are read.

    Raises: UserError: if there is no prompt.
    """
    import torch

    from models.gpt import KVCache
    from models.sampling import distribution, draw, uniform

    model, cache, ids = context.model, KVCache(context.config), torch.tensor([context.ids])
    tokens = ids.shape[1]
    began = time.perf_counter()
    with torch.inference_mode():
        model.hidden(ids, cache)
    prompt_seconds = time.perf_counter() - began
    yield

    def timed(index: int) -> list[float]:
        """Seconds of each of PARTS."""
        at = [time.perf_counter()]
        spent = dict.fromkeys(PARTS, 0.0)

        def end(part: str) -> None:
            at.append(time.perf_counter())
            spent[part] += at[-1] - at[-2]

        cache.length = tokens - 1
        with torch.inference_mode():
            x = model.wte(ids[:, -1:]) + model.wpe.weight[tokens - 1]
            end("embedding")
            for layer, block in enumerate(model.blocks):
                x = x + block.attn(block.ln_1(x), cache, layer)
                end("attention")
                x = x + block.mlp(block.ln_2(x))
                end("mlp")
            logits = model.unembed(model.ln_f(x))[0, -1]
            end("output")
            draw(distribution(logits, context.sampling).after, uniform(context.sampling.seed, index))
            end("draw")
        return list(spent.values())

    parts = timed(0)
    for index in range(1, TIMES):
        yield
        parts = min(parts, timed(index), key=sum)
    seconds = sum(parts)
    shares = {part: spent / seconds for part, spent in zip(PARTS, parts, strict=True)}
    measures: dict[str, Measure] = {
        "tokens": tokens,
        "milliseconds": seconds * 1000,
        "per_second": 1 / seconds,
        "prompt_milliseconds": prompt_seconds * 1000,
        **{f"{part}_share": value for part, value in shares.items()},
    }
    rows = [
        [Cell(label), Cell(f"{fixed(spent * 1000, 3)} ms", value=spent * 1000), share(shares[part])]
        for (part, label), spent in zip(PARTS.items(), parts, strict=True)
    ]
    largest = max(shares, key=lambda part: shares[part])
    sentence = (
        f"One token takes {fixed(seconds * 1000, 2)} ms here, at place {whole(tokens)} of the context: "
        f"{whole(round(1 / seconds))} tokens a second. The largest part is {PARTS[largest]}, {probability(shares[largest])}."
    )
    table = Table(
        [Column("", "left"), Column("time"), Column("share")], rows, title=f"one token with the KV cache, least of {TIMES} times"
    )
    return ExperimentResult(View("token_time", "the time of one token", sentence, [table]), measures)
