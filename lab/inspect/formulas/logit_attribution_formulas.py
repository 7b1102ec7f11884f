"""Formulas of direct logit attribution: a part's contribution to a token's logit (see `lab.inspect.logit_attribution`).

Parts are counted in the order of the computation: token embedding, position embedding; of each layer its heads, attention's bias,
the MLP without its bias, the MLP's bias; then the final norm's bias; last what interventions patch into the stream.
"""

import math
from collections.abc import Callable

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
    number,
    times,
)
from lab.inspect.logit_attribution import Contributor, final_bias_at
from lab.views.number_explanation import Operand

FROZEN = "The final norm's scale is frozen at its value here, so that all contributions add up to the logit."
PATCHED = "An intervention set this number."
SCALED = "Interventions scale this part on its way to the final norm."


def part_of(quantities: Quantities, position: int, index: int) -> Contributor | None:
    """The part of that index, None for the final norm's bias. Raises UnknownNumberError where there are not so many."""
    found, bias = quantities.contributors(position), final_bias_at(quantities.config)
    if index > len(found):
        raise UnknownNumberError(f"This model has no part {index + 1}.")
    return None if index == bias else found[index - (index > bias)]


def _ref(part: Contributor, location: NumberLocation) -> Callable[[int], str]:
    """References of a part's numbers: its own output, where that arrives unchanged."""
    position, index = location.index[:2]
    source = part.source
    if source is not None and part.weights == {position: 1.0}:
        return lambda i: source(position, i)
    return lambda i: f"logits.contribution.part[{position},{index},{i}]"


def _arrived(quantities: Quantities, location: NumberLocation) -> Answer:
    """A part's number at the final norm: a weighted sum over positions, the weights set by interventions."""
    i, part = location.index[2], _contributor(quantities, location)
    if part.source is None:
        return Answer("", "", [], None, PATCHED)
    terms = [
        (quantities.operand(_written_at(quantities, part, t), part.source(t, i)), weight) for t, weight in part.weights.items()
    ]
    terms.sort(key=lambda term: -abs(term[0].value * term[1]))
    total = math.fsum(operand.value * weight for operand, weight in terms)
    written = [times(operand.value, weight) for operand, weight in terms[:TERMS]]
    operands = [operand for operand, _ in terms[:TERMS]]
    if len(terms) > TERMS:
        rest = math.fsum(operand.value * weight for operand, weight in terms[TERMS:])
        operands.append(Operand(f"{whole(len(terms) - TERMS)} others, weighted", rest))
        written.append(number(rest))
    return Answer(f"Σ of {part.label} × its weight", " + ".join(written) or "0", operands, total, SCALED)


def _written_at(quantities: Quantities, part: Contributor, position: int) -> str:
    return part.label if "bias" in part.label else f"{part.label} at {quantities.token_at(position)}"


def _arrived_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(_contributor(quantities, location).vector[location.index[2]])


def _contributor(quantities: Quantities, location: NumberLocation) -> Contributor:
    part = part_of(quantities, *location.index[:2])
    if part is None:
        raise UnknownNumberError(f"{location.ref} has no value.")
    return part


def _logit_direction(quantities: Quantities, position: int, token: int) -> Tensor:
    """gain × the token's embedding / scale, (C,), multiplied with a part's centred numbers."""
    gain, embedding = quantities.weights["ln_f.weight"].double(), quantities.weights["wte.weight"][token].double()
    return gain * embedding / float(quantities.trace["ln_final.scale"][position, 0])


def _terms(quantities: Quantities, location: NumberLocation) -> Tensor:
    position, index, token = location.index[:3]
    part = part_of(quantities, position, index)
    if part is None:
        return quantities.weights["ln_f.bias"].double() * quantities.weights["wte.weight"][token].double()
    return (part.vector - part.vector.mean()) * _logit_direction(quantities, position, token)


def _contribution(quantities: Quantities, location: NumberLocation) -> Answer:
    position, index, token = location.index
    part = part_of(quantities, position, index)
    if part is None:
        bias, embedding = quantities.weights["ln_f.bias"], quantities.weights["wte.weight"][token]
        return quantities.dot(
            "Σᵢ final norm's bias[i] × token's embedding[i]",
            bias,
            lambda i: f"ln_f.bias[{i}]",
            embedding,
            lambda i: f"wte.weight[{token},{i}]",
            "dimension",
        )
    centred, direction = part.vector - part.vector.mean(), _logit_direction(quantities, position, token)
    answer = quantities.sum(
        f"Σᵢ ({part.label}[i] − its mean) × (gain[i] × token's embedding[i] / scale)",
        centred * direction,
        lambda i: (f"dimension {i + 1}", f"logits.contribution.term[{position},{index},{token},{i}]"),
        factors=lambda i: times(float(centred[i]), float(direction[i])),
    )
    return Answer(answer.formula, answer.numbers, answer.operands, answer.recomputed, FROZEN, is_sum=True)


def _contribution_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(_terms(quantities, location).sum())


def _term(quantities: Quantities, location: NumberLocation) -> Answer:
    position, index, token, i = location.index
    part = part_of(quantities, position, index)
    if part is None:
        raise UnknownNumberError(f"{location.ref} has no value.")
    x, mean, gain, embedding, scale = operands = [
        quantities.operand(f"{part.label}, dimension {i + 1}", _ref(part, location)(i)),
        quantities.operand("mean of the part's numbers", f"logits.contribution.mean[{position},{index}]"),
        quantities.operand("gain of the final norm", f"ln_f.weight[{i}]"),
        quantities.operand("token's embedding", f"wte.weight[{token},{i}]"),
        quantities.operand("scale of the final norm", f"ln_final.scale[{position}]"),
    ]
    written = f"({number(x.value)} − {bracketed(mean.value)}) × {bracketed(gain.value)} × {bracketed(embedding.value)}"
    recomputed = (x.value - mean.value) * gain.value * embedding.value / scale.value
    formula = "(part[i] − mean) × gain[i] × token's embedding[i] / scale"
    return Answer(formula, f"{written} / {number(scale.value)}", operands, recomputed)


def _term_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(_terms(quantities, location)[location.index[3]])


def _mean(quantities: Quantities, location: NumberLocation) -> Answer:
    position, index = location.index
    part = part_of(quantities, position, index)
    if part is None:
        raise UnknownNumberError(f"{location.ref} has no value.")
    width = quantities.config.width
    answer = quantities.sum(
        f"Σᵢ {part.label}[i] / {width}",
        part.vector,
        lambda i: (f"dimension {i + 1}", _ref(part, location)(i)),
        factors=lambda i: "",
    )
    assert answer.recomputed is not None
    return Answer(answer.formula, f"({answer.numbers}) / {width}", answer.operands, answer.recomputed / width, is_sum=True)


def _mean_value(quantities: Quantities, location: NumberLocation) -> float:
    part = part_of(quantities, *location.index)
    if part is None:
        raise UnknownNumberError(f"{location.ref} has no value.")
    return float(part.vector.mean())


def _contribution_over(quantities: Quantities, location: NumberLocation) -> Answer:
    position, index, token, other = location.index
    contributions = [
        quantities.operand(
            f"contribution to the logit of “{quantities.label(each)}”", f"logits.contribution[{position},{index},{each}]"
        )
        for each in (token, other)
    ]
    return _difference("contribution to the one logit − contribution to the other", *contributions)


def _contribution_over_value(quantities: Quantities, location: NumberLocation) -> float:
    position, index, token, other = location.index
    one, two = (quantities.value(f"logits.contribution[{position},{index},{each}]") for each in (token, other))
    return one - two


def _over(quantities: Quantities, location: NumberLocation) -> Answer:
    position, token, other = location.index
    logits = [quantities.operand(f"logit of “{quantities.label(each)}”", f"logits[{position},{each}]") for each in (token, other)]
    return _difference("the one logit − the other", *logits)


def _over_value(quantities: Quantities, location: NumberLocation) -> float:
    position, token, other = location.index
    return quantities.value(f"logits[{position},{token}]") - quantities.value(f"logits[{position},{other}]")


def _difference(formula: str, one: Operand, two: Operand) -> Answer:
    written = f"{number(one.value)} − {bracketed(two.value)}"
    return Answer(formula, written, [one, two], one.value - two.value)


def _unbiased(quantities: Quantities, location: NumberLocation) -> Answer:
    position, i = location.index
    name = f"h.{location.layer}.mlp.c_proj.weight"
    return quantities.dot(
        "Σₙ neuron[n] × W_out[n]",
        quantities.trace[f"{location.block}mlp.post"][position],
        lambda n: f"{location.block}mlp.post[{position},{n}]",
        quantities.weights[name][i],
        lambda n: f"{name}[{i},{n}]",
        "neuron",
    )


def _unbiased_value(quantities: Quantities, location: NumberLocation) -> float:
    position, i = location.index
    post = quantities.trace[f"{location.block}mlp.post"][position].double()
    return float(post @ quantities.weights[f"h.{location.layer}.mlp.c_proj.weight"][i].double())


CONTRIBUTIONS = {
    "logits.contribution": Rule(
        "a part's contribution to the logit", ("position", "part", "token"), _contribution, _contribution_value
    ),
    "logits.contribution.term": Rule(
        "one dimension of a part's contribution", ("position", "part", "token", "dimension"), _term, _term_value
    ),
    "logits.contribution.part": Rule(
        "a part's vector at the final norm", ("position", "part", "dimension"), _arrived, _arrived_value
    ),
    "logits.contribution.mean": Rule("mean of a part's vector", ("position", "part"), _mean, _mean_value),
    "logits.contribution.over": Rule(
        "a part's contribution to the difference of two logits",
        ("position", "part", "token", "token"),
        _contribution_over,
        _contribution_over_value,
    ),
    "logits.over": Rule("difference of two logits", ("position", "token", "token"), _over, _over_value),
    "blocks.N.mlp_out.unbiased": Rule("the MLP output without its bias", ("position", "dimension"), _unbiased, _unbiased_value),
}
