"""Formulas that several parts share: the linear layer x W + b, the softmax exp(score − max) / Σ, and the cosine."""

import math

from torch import Tensor

from lab.inspect.formulas.quantities import Answer, NumberLocation, Quantities, bracketed, number
from lab.views.number_explanation import Operand

MASKED = "Masked: a position cannot attend to a later one, so this is exactly 0."


def linear(
    quantities: Quantities, location: NumberLocation, position: int, layer: str, row: int, source: str, symbol: str
) -> Answer:
    """Output `row` of the linear map `layer` at a position; `source` names its input within the location's layer."""
    return quantities.dot(
        f"Σᵢ {source}[i] × {symbol}[i] + bias",
        quantities.trace[f"{location.block}{source}"][position],
        lambda i: f"{location.block}{source}[{position},{i}]",
        quantities.weights[f"{layer}.weight"][row],
        lambda i: f"{layer}.weight[{row},{i}]",
        "neuron" if source == "mlp.post" else "dimension",
        [quantities.operand("bias", f"{layer}.bias[{row}]")],
    )


def softmax(quantities: Quantities, location: NumberLocation, prefix: str, scores: str, row: Tensor) -> Answer:
    """The softmax of one score in its `row`; `prefix` names the values in between, `scores` the family of the scores."""
    score, top = _score_and_largest(quantities, location, scores, row)
    total = quantities.operand("Σ of exp(score − max)", f"{prefix}.sum[{_row(location)}]")
    recomputed = math.exp(score.value - top.value) / total.value
    written = f"exp({number(score.value)} − {bracketed(top.value)}) / {number(total.value)}"
    note = MASKED if score.value == -math.inf else ""
    return Answer("exp(score − max) / Σ", written, [score, top, total], recomputed, note)


def exponential(quantities: Quantities, location: NumberLocation, scores: str, row: Tensor) -> Answer:
    operands = score, top = _score_and_largest(quantities, location, scores, row)
    written = f"exp({number(score.value)} − {bracketed(top.value)})"
    return Answer("exp(score − max)", written, [*operands], math.exp(score.value - top.value))


def shifted(quantities: Quantities, location: NumberLocation, scores: str, row: Tensor) -> Answer:
    operands = score, top = _score_and_largest(quantities, location, scores, row)
    return Answer("score − max", f"{number(score.value)} − {bracketed(top.value)}", [*operands], score.value - top.value)


def exps(row: Tensor) -> Tensor:
    """exp(score − max) of a row of scores."""
    row = row.double()
    return (row - row.max()).exp()


def _score_and_largest(quantities: Quantities, location: NumberLocation, scores: str, row: Tensor) -> tuple[Operand, Operand]:
    score = quantities.operand("score", f"{scores}[{_row(location)},{location.index[-1]}]")
    return score, quantities.operand("largest score", f"{scores}[{_row(location)},{int(row.argmax())}]")


def _row(location: NumberLocation) -> str:
    return ",".join(map(str, location.index[:2] if location.layer is not None else location.index[:1]))


def cosine(formula: str, operands: list[Operand]) -> Answer:
    """The cosine of two vectors from their dot product and their norms, in this order; 0 where a norm is 0."""
    dot, one, other = operands
    norms = one.value * other.value
    written = f"{number(dot.value)} / ({number(one.value)} × {number(other.value)})"
    return Answer(formula, written, operands, dot.value / norms if norms else 0.0)
