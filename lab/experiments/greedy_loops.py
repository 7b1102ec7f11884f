"""Loops of greedy decoding: when a text counts as one, and how a model falls into it."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from lab.core.number_format import counted, probability, whole
from lab.core.visible_text import visible
from lab.experiments.batch_passes import losses_of
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.views.blocks import Block, Cell, Column, Paragraph, Table, View
from lab.views.number_tables import Numbers, share
from models.check import check
from models.config import SamplingSettings
from models.sampling import generate

CONTINUED = 240
"""Tokens that greedy decoding writes, where the context has room for them."""
AT_ONCE = 8
"""Tokens between two checks."""
LEAST_TIMES, MOST_TIMES = 3, 8
"""Times that a phrase stands at the end of a text that counts as a loop, and those that are measured."""
PHRASE, LEAST_PHRASE, CLEARLY = 6, 4, 1.05
"""Tokens that are repeated where there is neither a loop nor a whole sentence, and fewest of a sentence; ratio from which on one
probability counts as larger than another."""
ENDS = (".", "!", "?", "\n")
"""The last character of a token that ends a sentence; in code, of one that ends a line."""


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


def whole_sentence(pieces: Sequence[str], most: int) -> tuple[int, int] | None:
    """Start and length of the first whole sentence of a text in tokens, of `LEAST_PHRASE` to `most`; the text's first part is no
    whole one, since it goes on from a prompt."""
    ends = [at + 1 for at, piece in enumerate(pieces) if piece.rstrip(" ").endswith(ENDS)]
    starts = ((start, end - start) for start, end in pairwise(ends))
    return next((found for found in starts if LEAST_PHRASE <= found[1] <= most), None)


@experiment
def greedy_loop(context: ExperimentContext) -> ExperimentResult:
    """Measures whether greedy decoding `loops` in `tokens`: on the `phrase` of `length` tokens, `times` times; without a loop the
    phrase is the first whole sentence that it writes. `first` is the mean probability (geometric) of a token of the phrase where
    it comes first, in the prompt or after it, `again` when it has stood 1 to `stood` times, without the seam: the first token of
    a phrase that is no loop, since nothing says that it begins again. Of the `counted` tokens `risen` are more probable then. It
    `rises` or `falls` where the means differ by more than a twentieth and most tokens do likewise. `mean` is that of all tokens
    written. The input `penalty` is the repetition penalty with which they are chosen; no probability here has it.

    Raises: UserError: if there is no prompt, or the penalty is none.
    """
    penalty, room = context.number("penalty", 1.0, 1.0, 10.0), context.config.context
    tokens = min(context.affordable(CONTINUED), max(PHRASE, room - len(context.ids)))
    written, logs = list[int](), 0.0
    for token in generate(context.model, context.ids, tokens, SamplingSettings(greedy=True, repetition_penalty=penalty)):
        written.append(token.id)
        logs += math.log(max(token.probability, 1e-300))
        if len(written) % AT_ONCE == 0:
            check()
    loop, ids = find_loop(written), [*context.ids, *written]
    pieces = [context.tokenizer.decode([id_]) for id_ in written]
    if loop:
        start, length = loop.start, min(loop.length, room)
    else:
        start, length = whole_sentence(pieces, room // LEAST_TIMES) or (0, min(PHRASE, room))
    start, seam = len(ids) - len(written) + start, 0 if loop or length == 1 else 1
    while loop and start > 1 and ids[start - 1] == ids[start - 1 + length]:
        start -= 1  # the loop begins in the prompt
    phrase = ids[start : start + length]
    start = next(at for at in range(1, start + 1) if ids[at : at + length] == phrase)  # where it comes first
    losses = _losses(context, ids[:start], phrase)  # (times, length)
    judged = losses[:, seam:]
    once, later = judged[0], judged[1:].mean(0) if len(judged) > 1 else judged[0]
    first, again = (math.exp(-float(each.mean())) for each in (once, later))
    risen, fallen = int((later < once).sum()), int((later > once).sum())
    measures: dict[str, Measure] = {
        "penalty": penalty,
        "mean": math.exp(logs / tokens),
        "tokens": tokens,
        "loops": loop is not None,
        "times": loop.times if loop else 0,
        "phrase": "".join(map(context.tokenizer.label, phrase)),
        "length": length,
        "counted": judged.shape[1],
        "risen": risen,
        "first": first,
        "again": again,
        "stood": len(losses) - 1,
        "rises": again > CLEARLY * first and 2 * risen > judged.shape[1],
        "falls": first > CLEARLY * again and 2 * fallen > judged.shape[1],
    }
    means = np.exp(-judged.mean(1))
    rows = []
    for times, (mean, row) in enumerate(zip(means.tolist(), losses, strict=True)):
        begins = [share(math.exp(-float(row[0])), digits=2)] if seam else []
        rows.append([Cell(f"{times} ×" if times else "not yet"), share(mean, digits=2), *begins])
    columns = [Column("it has stood", "left"), Column("a token (geometric mean)")]
    columns += [Column("the first, not counted")] * seam
    text = visible(context.tokenizer.decode(ids))
    blocks: list[Block] = [
        Table(columns, rows, title=f"probabilities in “{measures['phrase']}”, repeated by the lab"),
        Paragraph(f"Greedy: {text}"),
    ]
    return ExperimentResult(View("greedy_loop", "greedy decoding", _loop_sentence(measures), blocks), measures)


def _losses(context: ExperimentContext, before: list[int], phrase: list[int]) -> Numbers:
    """−ln p of a phrase's tokens (times, length), the first time after `before`, the second and so on."""
    room = context.config.context
    times = max(1, min(MOST_TIMES, room // len(phrase)))
    kept = before[-max(1, room + 1 - times * len(phrase)) :]
    losses = losses_of(context.model, np.array([[*kept, *phrase * times]]))
    found: Numbers = losses[0, len(kept) - 1 :].double().reshape(times, len(phrase)).numpy()
    return found


def _loop_sentence(measures: dict[str, Measure]) -> str:
    tokens, length = whole(int(measures["tokens"])), counted(int(measures["length"]), "token")
    first, again = (probability(float(measures[name]), digits=2) for name in ("first", "again"))
    name = "Greedy decoding" if measures["penalty"] == 1 else f"Greedy decoding with penalty {measures['penalty']:g}"
    if measures["loops"]:
        begin = f"{name} ends in a loop of {length}, {measures['times']} times in {tokens} tokens."
    else:
        begin = f"{name} does not end in a loop within {tokens} tokens; the lab repeats {length} of it."
    begin += f" The tokens have a mean probability of {probability(float(measures['mean']))}."
    if not measures["stood"]:
        return f"{begin} A token of the phrase has {first}; the context has no room to repeat it."
    begin += f" A token of the phrase has {first} when it comes first, {again} when it has stood 1 to {measures['stood']} ×"
    end = "more probable" if measures["rises"] else "less probable" if measures["falls"] else "neither more nor less probable"
    of_all = f"{measures['risen']} of {measures['counted']} tokens more"
    return f"{begin}: here repeats make it {end} ({of_all})."
