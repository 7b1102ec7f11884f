"""Formulas of direct logit attribution: a part's contribution to a token's logit (see `lab.inspect.logit_attribution`).

Parts are counted in the order of the computation: token embedding, position embedding; of each layer its heads, attention's bias,
the MLP without its bias, the MLP's bias; then the final norm's bias; last what interventions patch into the stream.
"""

import math
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from lab.core.number_format import whole
from lab.inspect.formulas.quantities import (
    TERMS,
    Answer,
    NumberLocation,
    Quantities,
    Rule,
    UnknownNumberError,
    bracketed,
    mean,
    number,
    times,
)
from lab.inspect.logit_attribution import Contributor, final_bias_at
from lab.views.number_explanation import Operand

FROZEN = "The final norm's scale is frozen at its value here, so that all contributions add up to the logit."
PATCHED = "An intervention set this number."
SCALED = "Interventions scale this part on its way to the final norm."


def part_of(numbers: Quantities, position: int, index: int) -> Contributor | None:
    """The part of that index, None for the final norm's bias. Raises UnknownNumberError where there are not so many."""
    found, bias = numbers.contributors(position), final_bias_at(numbers.config)
    if index > len(found):
        raise UnknownNumberError(f"This model has no part {index + 1}.")
    return None if index == bias else found[index - (index > bias)]


def _ref(part: Contributor, at: NumberLocation) -> Callable[[int], str]:
    """References of a part's numbers: its own output, where that arrives unchanged."""
    position, index = at.index[:2]
    source = part.source
    if source is not None and part.weights == {position: 1.0}:
        return lambda i: source(position, i)
    return lambda i: f"logits.contribution.part[{position},{index},{i}]"


def _arrived(numbers: Quantities, at: NumberLocation) -> Answer:
    """A part's number at the final norm: a weighted sum over positions, the weights set by interventions."""
    i, part = at.index[2], _contributor(numbers, at)
    if part.source is None:
        return Answer("", "", [], None, PATCHED)
    terms = [(numbers.operand(_written_at(numbers, part, t), part.source(t, i)), weight) for t, weight in part.weights.items()]
    terms.sort(key=lambda term: -abs(term[0].value * term[1]))
    total = math.fsum(operand.value * weight for operand, weight in terms)
    written = [times(operand.value, weight) for operand, weight in terms[:TERMS]]
    operands = [operand for operand, _ in terms[:TERMS]]
    if len(terms) > TERMS:
        rest = math.fsum(operand.value * weight for operand, weight in terms[TERMS:])
        operands.append(Operand(f"{whole(len(terms) - TERMS)} others, weighted", rest))
        written.append(number(rest))
    return Answer(f"Σ of {part.label} × its weight", " + ".join(written) or "0", operands, total, SCALED)


def _written_at(numbers: Quantities, part: Contributor, position: int) -> str:
    return part.label if "bias" in part.label else f"{part.label} at {numbers.token_at(position)}"


def _contributor(numbers: Quantities, at: NumberLocation) -> Contributor:
    part = part_of(numbers, *at.index[:2])
    if part is None:
        raise UnknownNumberError(f"{at.ref} has no value.")
    return part


def _logit_direction(numbers: Quantities, position: int, token: int) -> Tensor:
    """gain × the token's embedding / scale, (C,), multiplied with a part's centred numbers."""
    gain, embedding = numbers.weights["ln_f.weight"].double(), numbers.weights["wte.weight"][token].double()
    return gain * embedding / float(numbers.trace["ln_final.scale"][position, 0])


def _terms(numbers: Quantities, at: NumberLocation) -> Tensor:
    position, index, token = at.index[:3]
    part = part_of(numbers, position, index)
    if part is None:
        return numbers.weights["ln_f.bias"].double() * numbers.weights["wte.weight"][token].double()
    return (part.vector - part.vector.mean()) * _logit_direction(numbers, position, token)


def _contribution(numbers: Quantities, at: NumberLocation) -> Answer:
    position, index, token = at.index
    part = part_of(numbers, position, index)
    if part is None:
        formula = "Σᵢ final norm's bias[i] × token's embedding[i]"
        return numbers.dot(formula, numbers.vector("ln_f.bias"), numbers.vector("wte.weight", token))
    centred, direction = part.vector - part.vector.mean(), _logit_direction(numbers, position, token)
    answer = numbers.sum(
        f"Σᵢ ({part.label}[i] − its mean) × (gain[i] × token's embedding[i] / scale)",
        centred * direction,
        lambda i: (f"dimension {i + 1}", f"logits.contribution.term[{position},{index},{token},{i}]"),
        factors=lambda i: times(float(centred[i]), float(direction[i])),
    )
    return replace(answer, note=FROZEN)


def _term(numbers: Quantities, at: NumberLocation) -> Answer:
    position, index, token, i = at.index
    part = _contributor(numbers, at)
    x, mean_of_part, gain, embedding, scale = operands = [
        numbers.operand(f"{part.label}, dimension {i + 1}", _ref(part, at)(i)),
        numbers.operand("mean of the part's numbers", f"logits.contribution.mean[{position},{index}]"),
        numbers.operand("gain of the final norm", f"ln_f.weight[{i}]"),
        numbers.operand("token's embedding", f"wte.weight[{token},{i}]"),
        numbers.operand("scale of the final norm", f"ln_final.scale[{position}]"),
    ]
    written = f"({number(x.value)} − {bracketed(mean_of_part.value)}) × {bracketed(gain.value)} × {bracketed(embedding.value)}"
    recomputed = (x.value - mean_of_part.value) * gain.value * embedding.value / scale.value
    formula = "(part[i] − mean) × gain[i] × token's embedding[i] / scale"
    return Answer(formula, f"{written} / {number(scale.value)}", operands, recomputed)


def _mean(numbers: Quantities, at: NumberLocation) -> Answer:
    part, count = _contributor(numbers, at), numbers.config.width
    answer = numbers.sum("", part.vector, lambda i: (f"dimension {i + 1}", _ref(part, at)(i)))
    return mean(answer, f"Σᵢ {part.label}[i]", count)


def _contribution_over(numbers: Quantities, at: NumberLocation) -> Answer:
    position, index, token, other = at.index
    contributions = [
        numbers.operand(
            f"contribution to the logit of “{numbers.label(each)}”", f"logits.contribution[{position},{index},{each}]"
        )
        for each in (token, other)
    ]
    return _difference("contribution to the one logit − contribution to the other", *contributions)


def _contribution_over_value(numbers: Quantities, at: NumberLocation) -> float:
    position, index, token, other = at.index
    one, two = (numbers.value(f"logits.contribution[{position},{index},{each}]") for each in (token, other))
    return one - two


def _over(numbers: Quantities, at: NumberLocation) -> Answer:
    position, token, other = at.index
    logits = [numbers.operand(f"logit of “{numbers.label(each)}”", f"logits[{position},{each}]") for each in (token, other)]
    return _difference("the one logit − the other", *logits)


def _over_value(numbers: Quantities, at: NumberLocation) -> float:
    position, token, other = at.index
    return numbers.value(f"logits[{position},{token}]") - numbers.value(f"logits[{position},{other}]")


def _difference(formula: str, one: Operand, two: Operand) -> Answer:
    written = f"{number(one.value)} − {bracketed(two.value)}"
    return Answer(formula, written, [one, two], one.value - two.value)


def _unbiased(numbers: Quantities, at: NumberLocation) -> Answer:
    position, i = at.index
    post, weights = numbers.vector(f"{at.block}mlp.post", position), numbers.vector(f"h.{at.layer}.mlp.c_proj.weight", i)
    return numbers.dot("Σₙ neuron[n] × W_out[n]", post, weights, "neuron")


def _unbiased_value(numbers: Quantities, at: NumberLocation) -> float:
    position, i = at.index
    post = numbers.trace[f"{at.block}mlp.post"][position].double()
    return float(post @ numbers.weights[f"h.{at.layer}.mlp.c_proj.weight"][i].double())


CONTRIBUTIONS = {
    "logits.contribution": Rule(
        "a part's contribution to the logit",
        ("position", "part", "token"),
        _contribution,
        lambda numbers, at: float(_terms(numbers, at).sum()),
    ),
    "logits.contribution.term": Rule(
        "one dimension of a part's contribution",
        ("position", "part", "token", "dimension"),
        _term,
        lambda numbers, at: float(_terms(numbers, at)[at.index[3]]),
    ),
    "logits.contribution.part": Rule(
        "a part's vector at the final norm",
        ("position", "part", "dimension"),
        _arrived,
        lambda numbers, at: float(_contributor(numbers, at).vector[at.index[2]]),
    ),
    "logits.contribution.mean": Rule(
        "mean of a part's vector", ("position", "part"), _mean, lambda numbers, at: float(_contributor(numbers, at).vector.mean())
    ),
    "logits.contribution.over": Rule(
        "a part's contribution to the difference of two logits",
        ("position", "part", "token", "token"),
        _contribution_over,
        _contribution_over_value,
    ),
    "logits.over": Rule("difference of two logits", ("position", "token", "token"), _over, _over_value),
    "blocks.N.mlp_out.unbiased": Rule("the MLP output without its bias", ("position", "dimension"), _unbiased, _unbiased_value),
}
