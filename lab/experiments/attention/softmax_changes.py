"""A row of attention scores, changed: 1 added to each score, and each score doubled, and the softmax of both."""

import numpy as np

from lab.core.number_format import probability
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_tables import Numbers, figures
from lab.views.softmax_table import softmax
from models.unembed import Slices

TOLERANCE = 1e-9
"""Rounding in float64 is far below it."""
LISTED = 12
"""Keys in the table: those with the highest scores."""


def softmax_changes(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `largest_change`, of any weight when 1 is added to every score, and `risen`, the weights that rise then; `top`,
    the largest weight, `top_doubled`, the same with every score doubled, and `keys`.

    Raises: UserError: if there is no prompt.
    """
    at = yield from context.stage_context()
    scores = at.array(f"{at.block}attn.attn_scores")[at.head, at.position].astype(np.float64)
    scores = scores[np.isfinite(scores)]
    weights, added, doubled = softmax(scores), softmax(scores + 1), softmax(2 * scores)
    top = int(scores.argmax())
    order = np.argsort(-scores, kind="stable")[:LISTED].tolist()
    table = Table(
        [Column("key", "left"), Column("score"), Column("weight"), Column("all + 1"), Column("all × 2")],
        [[Cell(at.name(i)), figures(scores[i], 3), *(_weight(each, i) for each in (weights, added, doubled))] for i in order],
        title=f"{at.layer_name}, head {at.head + 1}, query {at.here}",
    )
    measures: dict[str, Measure] = {
        "largest_change": float(np.abs(added - weights).max()),
        "risen": int((added > weights + TOLERANCE).sum()),
        "top": float(weights[top]),
        "top_doubled": float(doubled[top]),
        "keys": len(scores),
    }
    sentence = (
        f"With 1 added to every score each weight stays as it is. With every score doubled, {at.quoted(top)} goes from "
        f"{probability(float(weights[top]))} to {probability(float(doubled[top]))}."
    )
    return ExperimentResult(View("softmax_changes", "changed scores", sentence, [table]), measures)


def _weight(weights: Numbers, index: int) -> Cell:
    return Cell(probability(float(weights[index])), value=float(weights[index]), bar=float(weights[index]))
