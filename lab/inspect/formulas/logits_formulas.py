"""Formulas of the logits, their softmax over the vocabulary, the draw of the next token, and direct logit attribution: a part's
contribution to a token's logit (see `lab.inspect.logit_attribution`).

Parts are counted in the order of the computation: token embedding, position embedding; of each layer its heads, attention's bias,
the MLP without its bias, the MLP's bias; then the final norm's bias; last what interventions patch into the stream.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import replace

import torch

from lab.core.number_format import whole
from lab.inspect.formulas.quantities import (
    TERMS,
    Answer,
    NumberLocation,
    Quantities,
    Rule,
    Scores,
    UnknownNumberError,
    exps,
    mean,
    number,
    softmax_rules,
    times,
    work_out,
    worked_out,
)
from lab.inspect.logit_attribution import Contributor, final_bias_at
from lab.inspect.stages.stage_context import Draw, StageContext
from lab.views.number_explanation import Operand

NEXT = ("position", "token")
DRAWN = "A random number from the seed and the position alone."
LEFT_OUT = "Temperature, top-k or top-p remove this token."
FIRST = "The most probable token comes first."


def _logit(numbers: Quantities, at: NumberLocation) -> Answer:
    position, token = at.index
    one, other = numbers.vector("ln_final.out", position), numbers.vector("wte.weight", token)
    return numbers.dot("Σᵢ final norm[i] × token's embedding[i]", one, other)


SHIFTED, EXP, SUM, SOFTMAX = softmax_rules(
    "logit",
    "vocabulary",
    NEXT,
    lambda numbers, at: Scores("probability", "logits", numbers.logits(at.index[0])),
    lambda numbers, id_: f"“{numbers.label(id_)}”",
)


def _draw(numbers: Quantities, at: NumberLocation) -> Draw:
    """The draw after the number's position."""
    return numbers.context_at(at.index[0]).draw()


def _u(numbers: Quantities, at: NumberLocation) -> Answer:
    context = numbers.context_at(at.index[0])
    return Answer("", "", [], None, f"{DRAWN} Here: seed {context.sampling.seed}, token {context.draws_for + 1} of the text.")


def _after(numbers: Quantities, at: NumberLocation) -> Answer:
    position, token = at.index
    context = numbers.context_at(position)
    before = numbers.operand("probability before", f"probability[{position},{token}]")
    if not context.draw().kept[token]:
        return Answer("0 for a removed token", "0", [before], 0.0, LEFT_OUT)
    if context.sampling.greedy or context.sampling.temperature == 0:
        return Answer("1 for the most probable token (greedy)", "1", [before], 1.0)
    return work_out(
        "exp((logit − max) / T) / Σ over the kept tokens",
        f"exp(({{0}} − {{1:()}}) / {context.sampling.temperature:g}) / {{3}}",
        [*_warmed_operands(numbers, at), numbers.operand("Σ over the kept tokens", f"sample.sum[{position}]")],
        lambda score, top, temperature, total: math.exp((score - top) / temperature) / total,
    )


def _warmed_operands(numbers: Quantities, at: NumberLocation) -> list[Operand]:
    position, token = at.index
    context = numbers.context_at(position)
    return [
        numbers.operand("logit", f"logits[{position},{token}]"),
        numbers.operand("largest logit", f"logits[{position},{context.answer}]"),
        Operand("T, the temperature", context.sampling.temperature or 1.0),
    ]


def _warmed(context: StageContext) -> torch.Tensor:
    """exp((logit − max) / T) of every token, (V,)."""
    return exps(torch.from_numpy(context.logits / (context.sampling.temperature or 1.0)))


def _sample_exp(numbers: Quantities, at: NumberLocation) -> Answer:
    temperature = numbers.context_at(at.index[0]).sampling.temperature or 1.0
    return work_out(
        "exp((logit − max) / T)",
        f"exp(({{}} − {{:()}}) / {temperature:g})",
        _warmed_operands(numbers, at),
        lambda score, top, temperature: math.exp((score - top) / temperature),
    )


def _sample_sum(numbers: Quantities, at: NumberLocation) -> Answer:
    (position,) = at.index
    context = numbers.context_at(position)
    kept = torch.from_numpy(context.draw().kept).nonzero()[:, 0]
    return numbers.sum(
        "Σ over the kept tokens of exp((logit − max) / T)",
        _warmed(context)[kept],
        lambda n: (f"“{numbers.label(int(kept[n]))}”", f"sample.exp[{position},{int(kept[n])}]"),
    )


def _low(numbers: Quantities, at: NumberLocation) -> Answer:
    position, token = at.index
    draw = numbers.context_at(position).draw()
    before = draw.order[: draw.rank(token)].tolist()
    answer = numbers.sum(
        "Σ over the more probable tokens",
        torch.from_numpy(draw.after[before]),
        lambda n: (f"“{numbers.label(before[n])}”", f"sample.after[{position},{before[n]}]"),
    )
    return answer if before else Answer("0 for the first token", "0", [], 0.0, FIRST)


HIGH = worked_out(
    "lower bound + probability",
    "{} + {}",
    operator.add,
    ("lower bound", "sample.low[{0},{1}]"),
    ("probability", "sample.after[{0},{1}]"),
)


OUTPUT = {
    "logits": Rule("logit", NEXT, _logit, lambda numbers, at: float(numbers.logits(at.index[0])[at.index[1]])),
    "logits.shifted": SHIFTED,
    "probability": Rule(
        "probability of the next token",
        NEXT,
        SOFTMAX,
        lambda numbers, at: float(numbers.logits(at.index[0]).softmax(-1)[at.index[1]]),
    ),
    "probability.exp": EXP,
    "probability.sum": SUM,
    "sample.u": Rule("the random number", ("position",), _u, lambda numbers, at: _draw(numbers, at).u),
    "sample.after": Rule(
        "probability of being drawn", NEXT, _after, lambda numbers, at: float(_draw(numbers, at).after[at.index[1]])
    ),
    "sample.exp": Rule("exp((logit − max) / T)", NEXT, _sample_exp),
    "sample.sum": Rule("sum over the kept tokens", ("position",), _sample_sum),
    "sample.low": Rule(
        "lower bound of a token's interval", NEXT, _low, lambda numbers, at: _draw(numbers, at).interval(at.index[1])[0]
    ),
    "sample.high": Rule(
        "upper bound of a token's interval", NEXT, HIGH, lambda numbers, at: _draw(numbers, at).interval(at.index[1])[1]
    ),
}


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
    terms = []
    for t, weight in part.weights.items():
        label = part.label if "bias" in part.label else f"{part.label} at {numbers.token_at(t)}"
        terms.append((numbers.operand(label, part.source(t, i)), weight))
    terms.sort(key=lambda term: -abs(term[0].value * term[1]))
    total = math.fsum(operand.value * weight for operand, weight in terms)
    written = [times(operand.value, weight) for operand, weight in terms[:TERMS]]
    operands = [operand for operand, _ in terms[:TERMS]]
    if len(terms) > TERMS:
        rest = math.fsum(operand.value * weight for operand, weight in terms[TERMS:])
        operands.append(Operand(f"{whole(len(terms) - TERMS)} others, weighted", rest))
        written.append(number(rest))
    return Answer(f"Σ of {part.label} × its weight", " + ".join(written) or "0", operands, total, SCALED)


def _contributor(numbers: Quantities, at: NumberLocation) -> Contributor:
    part = part_of(numbers, *at.index[:2])
    if part is None:
        raise UnknownNumberError(f"{at.ref} has no value.")
    return part


def _contribution(numbers: Quantities, at: NumberLocation) -> Answer:
    position, index, token = at.index
    part = part_of(numbers, position, index)
    if part is None:
        formula = "Σᵢ final norm's bias[i] × token's embedding[i]"
        return numbers.dot(formula, numbers.vector("ln_f.bias"), numbers.vector("wte.weight", token))
    centred = part.vector - part.vector.mean()
    gain, embedding = numbers.weights["ln_f.weight"].double(), numbers.weights["wte.weight"][token].double()
    direction = gain * embedding / float(numbers.trace["ln_final.scale"][position, 0])  # (C,)
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
    operands = [
        numbers.operand(f"{part.label}, dimension {i + 1}", _ref(part, at)(i)),
        numbers.operand("mean of the part's numbers", f"logits.contribution.mean[{position},{index}]"),
        numbers.operand("gain of the final norm", f"ln_f.weight[{i}]"),
        numbers.operand("token's embedding", f"wte.weight[{token},{i}]"),
        numbers.operand("scale of the final norm", f"ln_final.scale[{position}]"),
    ]
    return work_out(
        "(part[i] − mean) × gain[i] × token's embedding[i] / scale",
        "({} − {:()}) × {:()} × {:()} / {}",
        operands,
        lambda x, mean, gain, embedding, scale: (x - mean) * gain * embedding / scale,
    )


def _mean(numbers: Quantities, at: NumberLocation) -> Answer:
    part, count = _contributor(numbers, at), numbers.config.width
    answer = numbers.sum("", part.vector, lambda i: (f"dimension {i + 1}", _ref(part, at)(i)))
    return mean(answer, f"Σᵢ {part.label}[i]", count)


def _contribution_over(numbers: Quantities, at: NumberLocation) -> Answer:
    position, index, *tokens = at.index
    operands = [
        numbers.operand(
            f"contribution to the logit of “{numbers.label(each)}”", f"logits.contribution[{position},{index},{each}]"
        )
        for each in tokens
    ]
    return work_out("contribution to the one logit − contribution to the other", "{} − {:()}", operands, operator.sub)


def _over(numbers: Quantities, at: NumberLocation) -> Answer:
    position, *tokens = at.index
    operands = [numbers.operand(f"logit of “{numbers.label(each)}”", f"logits[{position},{each}]") for each in tokens]
    return work_out("the one logit − the other", "{} − {:()}", operands, operator.sub)


def _unbiased(numbers: Quantities, at: NumberLocation) -> Answer:
    position, i = at.index
    post, weights = numbers.vector(f"{at.block}mlp.post", position), numbers.vector(f"h.{at.layer}.mlp.c_proj.weight", i)
    return numbers.dot("Σₙ neuron[n] × W_out[n]", post, weights, "neuron")


CONTRIBUTIONS = {
    "logits.contribution": Rule("a part's contribution to the logit", ("position", "part", "token"), _contribution),
    "logits.contribution.term": Rule("one dimension of a part's contribution", ("position", "part", "token", "dimension"), _term),
    "logits.contribution.part": Rule(
        "a part's vector at the final norm",
        ("position", "part", "dimension"),
        _arrived,
        lambda numbers, at: float(_contributor(numbers, at).vector[at.index[2]]),
    ),
    "logits.contribution.mean": Rule("mean of a part's vector", ("position", "part"), _mean),
    "logits.contribution.over": Rule(
        "a part's contribution to the difference of two logits", ("position", "part", "token", "token"), _contribution_over
    ),
    "logits.over": Rule("difference of two logits", ("position", "token", "token"), _over),
    "blocks.N.mlp_out.unbiased": Rule("the MLP output without its bias", ("position", "dimension"), _unbiased),
}
