"""Temperature: the same logits at several temperatures, their order and their entropy."""

import numpy as np

from lab.core.number_format import fixed, probability
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.inspect.stages.logits_stage import largest
from lab.views.blocks import Block, Cell, Column, Table, View
from lab.views.number_tables import Numbers
from models.unembed import Slices

TEMPERATURES = (0.25, 0.5, 1.0, 2.0, 4.0)
EXTREMES = (TEMPERATURES[0], TEMPERATURES[-1])
"""Left out where the screen is narrow."""
LISTED = 8


def temperature(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `changed_top`, the number of temperatures at which another token than at 1 is the most probable, `changed_order`,
    those at which the order of the tokens differs, and `coldest_top` and `hottest_top`, probabilities of the first.

    Raises: UserError: if there is no prompt.
    """
    import torch

    from models.sampling import distribution
    from models.sampling_settings import SamplingSettings

    at = yield from context.stage_context()
    logits = torch.from_numpy(at.logits)
    found: dict[float, Numbers] = {}
    for each in TEMPERATURES:
        found[each] = distribution(logits, SamplingSettings(temperature=each)).after.numpy()
        yield
    usual = found[1.0]
    shown = largest(at.logits, LISTED)
    measures: dict[str, Measure] = {
        "prompt": at.prompt_tokens.text,
        "temperatures": len(TEMPERATURES),
        "changed_top": sum(each.argmax() != usual.argmax() for each in found.values()).item(),
        "changed_order": sum(not _same_order(each, at.logits) for each in found.values()),
        "coldest": TEMPERATURES[0],
        "hottest": TEMPERATURES[-1],
        "coldest_top": float(found[TEMPERATURES[0]].max()),
        "usual_top": float(usual.max()),
        "hottest_top": float(found[TEMPERATURES[-1]].max()),
    }
    columns = [
        Column("token", "left"),
        *(Column(f"T = {each:g}", optional=int(each in EXTREMES)) for each in found),
    ]
    rows = [
        [
            Cell(at.tokenizer.label(id_)),
            *(_cell(float(each[id_])) for each in found.values()),
        ]
        for id_ in shown
    ]
    entropies = [Cell("entropy, bits"), *(Cell(fixed(_entropy(each), 2), value=_entropy(each)) for each in found.values())]
    blocks: list[Block] = [Table(columns, rows, title=f"the token after {at.here}, by temperature", total=entropies)]
    sentence = (
        f"From temperature {TEMPERATURES[0]:g} to {TEMPERATURES[-1]:g} “{at.tokenizer.label(shown[0])}” goes from "
        f"{_cell(float(found[TEMPERATURES[0]][shown[0]])).text} to {_cell(float(found[TEMPERATURES[-1]][shown[0]])).text}."
    )
    return ExperimentResult(View("temperature", "temperature", sentence, blocks), measures)


def _cell(p: float) -> Cell:
    return Cell(probability(p, digits=2), value=p, bar=p)


def _same_order(probabilities: Numbers, logits: Numbers) -> bool:
    """True if no token of a lower logit has a higher probability."""
    in_order = probabilities[np.argsort(-logits, kind="stable")]
    return bool((np.diff(in_order) <= 0).all())


def _entropy(probabilities: Numbers) -> float:
    positive = probabilities[probabilities > 0]
    return max(0.0, float(-(positive * np.log2(positive)).sum()))
