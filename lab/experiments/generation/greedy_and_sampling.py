"""Greedy decoding and sampling from one distribution: thousands of draws, whose frequencies approach the probabilities."""

from collections import Counter
from dataclasses import replace

import numpy as np

from lab.core.number_format import fixed, probability, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Block, Cell, Column, Table, View
from lab.views.number_tables import Numbers
from models.unembed import Slices

DRAWS, FEWER_DRAWS = 4000, 1000
"""Draws, and those with a large vocabulary, in which a draw takes milliseconds."""
LARGE_VOCABULARY = 10_000
AT_ONCE = 200
"""Draws in a slice."""
SEEDS = 20
FEWEST_SEEDS = 4
"""Seeds with which greedy decoding is tried, and those with a large model."""
LISTED = 10
FEW = 100
STAGES = (10, FEW, FEWER_DRAWS, DRAWS)
"""Numbers of draws after which the frequencies are compared with the probabilities."""


def greedy_and_sampling(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures the share of draws that took the most probable token, `sampled_top_share` and `greedy_top_share`, its probability
    `top_probability`, and `largest_gap` between a token's frequency and its probability after `draws` draws.

    Temperature and filters are those of the request. Raises: UserError: if there is no prompt.
    """
    at = yield from context.stage_context()
    settings = replace(context.sampling, greedy=False, temperature=context.sampling.temperature or 1.0)
    taken = yield from _greedy(context, at)
    seeds = taken.total()
    greedy = taken[at.answer] / seeds
    yield
    after, drawn = yield from _draws(replace(at, sampling=settings))
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
        "largest_gap": gaps[len(drawn)],
        "largest_gap_points": 100 * gaps[len(drawn)],
        "first_gap": gaps[STAGES[0]],
    }
    blocks: list[Block] = [_tokens(at, after, counts, drawn, taken), _gaps(gaps)]
    sentence = (
        f"After {at.here} greedy decoding takes “{at.tokenizer.label(top)}” with {probability(greedy)} of {seeds} seeds; "
        f"{whole(len(drawn))} draws take it {probability(float(counts[top] / len(drawn)))} of the time, its probability being "
        f"{probability(float(after[top]))}."
    )
    return ExperimentResult(View("greedy_and_sampling", "greedy and sampling", sentence, blocks), measures)


def _greedy(context: ExperimentContext, at: StageContext) -> Slices[Counter[int]]:
    """Tokens that greedy decoding takes with each of the seeds."""
    from models.sampling import generate
    from models.sampling_settings import SamplingSettings

    prompt = at.ids[: at.position + 1]
    taken = Counter[int]()
    affordable = context.affordable(SEEDS * len(prompt)) // len(prompt)
    for seed in range(max(FEWEST_SEEDS, min(SEEDS, affordable))):
        taken[next(generate(context.model, prompt, 1, SamplingSettings(greedy=True, seed=seed))).id] += 1
        yield
    return taken


def _draws(at: StageContext) -> Slices[tuple[Numbers, Numbers]]:
    """The probabilities (V,) that are drawn from, and the ids of all draws, each with a random number of its own."""
    import torch

    from models.sampling import distribution, draw, uniform

    after = distribution(torch.from_numpy(at.logits), at.sampling).after
    drawn = np.zeros(DRAWS if len(after) <= LARGE_VOCABULARY else FEWER_DRAWS, np.int64)
    for index in range(len(drawn)):
        drawn[index] = draw(after, uniform(at.sampling.seed, index))
        if (index + 1) % AT_ONCE == 0:
            yield
    return after.numpy(), drawn


def _tokens(at: StageContext, after: Numbers, counts: Numbers, drawn: Numbers, taken: Counter[int]) -> Table:
    order = np.argsort(-after, kind="stable")[:LISTED].tolist()
    first = np.bincount(drawn[:FEW], minlength=len(after))
    rows = [
        [
            Cell(at.tokenizer.label(id_)),
            _share(float(after[id_])),
            _share(float(first[id_] / FEW)),
            _share(float(counts[id_] / len(drawn))),
            _share(taken[id_] / taken.total()),
        ]
        for id_ in order
    ]
    columns = [Column("token", "left"), Column("probability"), Column(f"{FEW} draws", optional=2)]
    columns += [Column(f"{whole(len(drawn))} draws"), Column("greedy", optional=1)]
    return Table(columns, rows, title=f"the token after {at.here}")


def _share(p: float) -> Cell:
    return Cell(probability(p, digits=2), value=p, bar=p)


def _gaps(gaps: dict[int, float]) -> Table:
    most = max(gaps.values()) or 1.0
    rows = [[Cell(whole(n)), Cell(fixed(gap, 4), value=gap, bar=gap / most)] for n, gap in gaps.items()]
    return Table([Column("draws"), Column("largest gap")], rows, title="|frequency − probability|, the largest of all tokens")
