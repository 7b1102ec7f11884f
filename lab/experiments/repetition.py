"""Experiments on repetition and on choosing a token: the loops of greedy decoding, and what each filter keeps."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lab.core.number_format import counted, probability, whole
from lab.core.visible_text import visible
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment, share
from lab.inspect.stages.logits_stage import largest
from lab.views.blocks import Array, Block, Cell, Column, Matrix, Paragraph, Table, View
from models.config import SamplingSettings
from models.unembed import Slices

CONTINUED = 240
"""Tokens that greedy decoding writes, where the context has room for them."""
AT_ONCE = 8
"""Tokens in a slice."""
LEAST_TIMES, MOST_TIMES = 3, 8
"""Times that a phrase stands at the end of a text that counts as a loop, and those that are measured."""
PHRASE, CLEARLY = 6, 1.05
"""Tokens that are repeated where there is no loop; ratio from which on one probability counts as larger than another."""


class Loop(NamedTuple):
    """The end of a text in which `length` tokens stand `times` times, the first of them at `start`, 0-based."""

    start: int
    length: int
    times: int


def find_loop(ids: Sequence[int]) -> Loop | None:
    """The shortest phrase that stands three times or more at the end of `ids`."""
    for length in range(1, len(ids) // LEAST_TIMES + 1):
        same = 0
        while same < len(ids) - length and ids[-1 - same] == ids[-1 - same - length]:
            same += 1
        if same >= (LEAST_TIMES - 1) * length:
            return Loop(len(ids) - same - length, length, same // length + 1)
    return None


@experiment
def greedy_loop(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures whether greedy decoding `loops` in `tokens`: on the `phrase` of `length` tokens, `times` times; without a loop the
    phrase is its first tokens. `first` is the mean probability (geometric) of a token of the phrase when it comes first, `last`
    when it has `stood` so many times; it `rises` or `falls` where they differ by more than a twentieth. `mean` is that of all
    tokens written. The input `penalty` is the repetition penalty with which they are chosen; no probability here has it.

    Raises: UserError: if there is no prompt, or the penalty is none.
    """
    from models.sampling import generate

    penalty, room = context.number("penalty", 1.0, 1.0, 10.0), context.config.context
    tokens = min(context.affordable(CONTINUED), max(PHRASE, room - len(context.ids)))
    written, logs = list[int](), 0.0
    for token in generate(context.model, context.ids, tokens, SamplingSettings(greedy=True, repetition_penalty=penalty)):
        written.append(token.id)
        logs += math.log(max(token.probability, 1e-300))
        if len(written) % AT_ONCE == 0:
            yield
    loop = find_loop(written)
    start, length = (loop.start, loop.length) if loop else (0, PHRASE)
    phrase = written[start : start + min(length, room)]
    means = yield from _probabilities(context, [*context.ids, *written[:start]], phrase)
    measures: dict[str, Measure] = {
        "penalty": penalty,
        "mean": math.exp(logs / tokens),
        "tokens": tokens,
        "loops": loop is not None,
        "times": loop.times if loop else 0,
        "phrase": "".join(map(context.tokenizer.label, phrase)),
        "length": len(phrase),
        "first": means[0],
        "last": means[-1],
        "stood": len(means) - 1,
        "rises": means[-1] > CLEARLY * means[0],
        "falls": means[0] > CLEARLY * means[-1],
    }
    rows = [[Cell(f"{times} ×" if times else "not yet"), share(mean, digits=2)] for times, mean in enumerate(means)]
    columns = [Column("it has stood", "left"), Column("probability of a token (geometric mean)")]
    text = visible(context.tokenizer.decode([*context.ids, *written]))
    blocks: list[Block] = [Table(columns, rows, title=f"“{measures['phrase']}”"), Paragraph(f"Greedy: {text}")]
    return ExperimentResult(View("greedy_loop", "greedy decoding", _loop_sentence(measures), blocks), measures)


def _probabilities(context: ExperimentContext, before: list[int], phrase: list[int]) -> Slices[list[float]]:
    """Geometric mean of the probabilities of a phrase's tokens, the first time after `before`, the second and so on."""
    from lab.experiments.batch_passes import losses_of

    room = context.config.context
    times = max(1, min(MOST_TIMES, room // len(phrase)))
    kept = before[-max(1, room + 1 - times * len(phrase)) :]
    losses = yield from losses_of(context.model, np.array([[*kept, *phrase * times]]))
    return [math.exp(-float(each.mean())) for each in losses[0, len(kept) - 1 :].double().reshape(times, len(phrase))]


def _loop_sentence(measures: dict[str, Measure]) -> str:
    tokens, length = whole(int(measures["tokens"])), counted(int(measures["length"]), "token")
    first, last = (probability(float(measures[name]), digits=2) for name in ("first", "last"))
    name = "Greedy decoding" if measures["penalty"] == 1 else f"Greedy decoding with penalty {measures['penalty']:g}"
    if measures["loops"]:
        begin = f"{name} ends in a loop of {length}, {measures['times']} times in {tokens} tokens."
    else:
        begin = f"{name} does not end in a loop within {tokens} tokens; below, its first {length} are repeated."
    begin += f" The tokens have a mean probability of {probability(float(measures['mean']))}."
    if not measures["stood"]:
        return f"{begin} A token of the phrase has {first}; the context has no room to repeat it."
    begin += f" A token of the phrase has {first} when it comes first, {last} when it has stood {measures['stood']} ×"
    if measures["rises"]:
        return f"{begin}: repeats make it more probable."
    end = "less probable" if measures["falls"] else "neither more nor less probable"
    return f"{begin}: here repeats make it {end}."


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
def filters(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures the number of tokens that each filter keeps, such as `top_k_5`, `t2`, temperature 2, and `t2_top_k_5`.

    Raises: UserError: if there is no prompt.
    """
    import torch

    from models.sampling import distribution

    at = yield from context.stage_context()
    found = {name: distribution(torch.from_numpy(at.logits), settings) for name, settings in FILTERS.items()}
    kept = {name: int(each.kept.sum()) for name, each in found.items()}
    shares = {name: 1.0 if each.kept.all() else float(each.before[each.kept].sum()) for name, each in found.items()}
    measures: dict[str, Measure] = {re.sub(r"\W+", "_", name).lower(): kept[name] for name in FILTERS}
    rows = [
        [Cell(name), Cell(whole(kept[name])), share(shares[name]), share(float(each.after.max()))] for name, each in found.items()
    ]
    columns = [Column("filter", "left"), Column("tokens kept"), Column("their probability at T1"), Column("the first is drawn")]
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
    blocks: list[Block] = [picture, Table(columns, rows, title=f"the token after {at.here}; T: temperature")]
    return ExperimentResult(View("filters", "what each filter keeps", sentence, blocks), measures)
