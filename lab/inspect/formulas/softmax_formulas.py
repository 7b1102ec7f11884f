"""The softmax, which attention and the prediction share: exp(score − max) / Σ."""

import math

from torch import Tensor

from lab.inspect.formula_terms import Answer, NumberLocation, Quantities, bracketed, number
from lab.views.number_explanation import Operand

MASKED = "Masked: a position may not look at one that comes after it, so its share is exactly 0."


def softmax(quantities: Quantities, place: NumberLocation, prefix: str, scores: str, row: Tensor) -> Answer:
    """The share of one score in its `row`; `prefix` names the steps in between, `scores` the family of the scores."""
    score, top = _score_and_largest(quantities, place, scores, row)
    total = quantities.operand("Σ of exp(score − max)", f"{prefix}.sum[{_row(place)}]")
    recomputed = math.exp(score.value - top.value) / total.value
    written = f"exp({number(score.value)} − {bracketed(top.value)}) / {number(total.value)}"
    note = MASKED if score.value == -math.inf else ""
    return Answer("exp(score − max) / Σ", written, [score, top, total], recomputed, note)


def exponential(quantities: Quantities, place: NumberLocation, scores: str, row: Tensor) -> Answer:
    operands = score, top = _score_and_largest(quantities, place, scores, row)
    written = f"exp({number(score.value)} − {bracketed(top.value)})"
    return Answer("exp(score − max)", written, [*operands], math.exp(score.value - top.value))


def shifted(quantities: Quantities, place: NumberLocation, scores: str, row: Tensor) -> Answer:
    operands = score, top = _score_and_largest(quantities, place, scores, row)
    return Answer("score − max", f"{number(score.value)} − {bracketed(top.value)}", [*operands], score.value - top.value)


def exps(row: Tensor) -> Tensor:
    """exp(score − max) of a row of scores."""
    row = row.double()
    return (row - row.max()).exp()


def _score_and_largest(quantities: Quantities, place: NumberLocation, scores: str, row: Tensor) -> tuple[Operand, Operand]:
    score = quantities.operand("score", f"{scores}[{_row(place)},{place.index[-1]}]")
    return score, quantities.operand("largest score", f"{scores}[{_row(place)},{int(row.argmax())}]")


def _row(place: NumberLocation) -> str:
    return ",".join(map(str, place.index[:2] if place.layer is not None else place.index[:1]))
