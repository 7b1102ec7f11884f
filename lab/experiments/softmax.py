"""Experiments on the softmax: ratios of exponentials, by hand and on a row of the model, and a row of scores, changed."""

import math

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import probability, significant
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment, share
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Block, Cell, Column, Table, View
from lab.views.number_tables import figures
from lab.views.softmax_table import Others, Titles, softmax, softmax_table
from models.unembed import Slices

SCORES = "0.3, 0.8, 1.2, 0.5"
MOST = 32
FARTHEST = 1e6
"""Largest score: beyond it exp has no digits left to show."""


@experiment
def softmax_ratio(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `difference` and `ratio` of the softmax of the two largest scores typed, `score_ratio` of the scores themselves
    where they are positive, and `ratio_tenfold` with all scores ten times as large; `own_…` of the two keys that the token at the
    position attends to most, in the chosen layer and head.

    Raises:
        UserError: if the input `scores` is no list of two numbers or more.
    """
    scores = _scores(context.text("scores", SCORES))
    labels = [f"score {index + 1}" for index in range(len(scores))]
    blocks: list[Block] = [softmax_table(labels, scores, titles=Titles("", softmax="softmax"), title="the scores, by hand")]
    ratio, difference = _ratio(scores)
    measures: dict[str, Measure] = {"difference": difference, "ratio": ratio, "exp_of_difference": _exp(difference)}
    measures["ratio_tenfold"] = _ratio([10 * score for score in scores])[0]
    second, largest = sorted(scores)[-2:]
    if second > 0:
        measures["score_ratio"] = largest / second
    sentence = (
        f"Scores {significant(difference)} apart have softmax weights in the ratio {significant(ratio)}; "
        f"e^{significant(difference)} = {significant(_exp(difference))}."
    )
    if len(context.prompt) > 1 and context.config.context > 1:
        at = yield from context.stage_context()
        row = at.array(f"{at.block}attn.attn_scores")[at.head, at.position, : at.position + 1]
        own = [float(score) for score in row]
        if len(own) > 1:
            own_ratio, own_difference = _ratio(own)
            measures |= {"own_difference": own_difference, "own_ratio": own_ratio, "own_exp_of_difference": _exp(own_difference)}
            blocks.append(_own_table(at, own))
    return ExperimentResult(View("softmax_ratio", "exp and ratios", sentence, blocks), measures)


def _own_table(at: StageContext, scores: list[float]) -> Table:
    """The softmax of a row of attention scores, the largest first."""
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    shown, rest = order[:MOST], order[MOST:]
    left_out = sum(math.exp(scores[index] - scores[order[0]]) for index in rest)
    return softmax_table(
        [at.name(index) for index in shown],
        [scores[index] for index in shown],
        percent=True,
        others=Others(f"{len(rest)} others", left_out) if rest else None,
        title=f"layer {at.layer + 1}, head {at.head + 1}: scores of {at.here}",
    )


def _ratio(scores: list[float]) -> tuple[float, float]:
    """Ratio of the two largest softmax weights, and the difference of their scores."""
    weights = sorted(softmax(scores).tolist(), reverse=True)
    ordered = sorted(scores, reverse=True)
    return (weights[0] / weights[1] if weights[1] else math.inf), ordered[0] - ordered[1]


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def _scores(text: str) -> list[float]:
    try:
        found = [float(part.replace("−", "-")) for part in text.replace(",", " ").split()]
    except ValueError:
        found = []
    if not 2 <= len(found) <= MOST or not all(math.isfinite(score) and abs(score) <= FARTHEST for score in found):
        raise UserError(f"The scores must be 2 to {MOST} numbers with commas between them, such as {SCORES}.")
    return found


TOLERANCE = 1e-9
"""Rounding in float64 is far below it."""
LISTED = 12
"""Keys in the table: those with the highest scores."""


@experiment
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
        [
            [Cell(at.name(i)), figures(scores[i], 3), *(share(float(each[i])) for each in (weights, added, doubled))]
            for i in order
        ],
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
