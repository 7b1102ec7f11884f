"""Formulas of the logits, their softmax over the vocabulary, and the draw of the next token."""

import math

import torch

from lab.inspect.formulas.quantities import (
    Answer,
    NumberLocation,
    Quantities,
    Rule,
    bracketed,
    exponential,
    exps,
    number,
    shifted,
    softmax,
)
from lab.inspect.stages.stage_context import StageContext
from lab.views.number_explanation import Operand

NEXT = ("position", "token")
DRAWN = "A random number from the seed and the position alone."
LEFT_OUT = "Temperature, top-k or top-p remove this token."
FIRST = "The most probable token comes first."


def _logit(quantities: Quantities, location: NumberLocation) -> Answer:
    position, token = location.index
    return quantities.dot(
        "Σᵢ final norm[i] × token's embedding[i]",
        quantities.trace["ln_final.out"][position],
        lambda i: f"ln_final.out[{position},{i}]",
        quantities.weights["wte.weight"][token],
        lambda i: f"wte.weight[{token},{i}]",
        "dimension",
    )


def _logit_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(quantities.logits(location.index[0])[location.index[1]])


def _shifted(quantities: Quantities, location: NumberLocation) -> Answer:
    return shifted(quantities, location, "logits", quantities.logits(location.index[0]))


def _shifted_value(quantities: Quantities, location: NumberLocation) -> float:
    logits = quantities.logits(location.index[0])
    return float(logits[location.index[1]] - logits.max())


def _probability(quantities: Quantities, location: NumberLocation) -> Answer:
    return softmax(quantities, location, "probability", "logits", quantities.logits(location.index[0]))


def _probability_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(quantities.logits(location.index[0]).softmax(-1)[location.index[1]])


def _exp(quantities: Quantities, location: NumberLocation) -> Answer:
    return exponential(quantities, location, "logits", quantities.logits(location.index[0]))


def _exp_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(exps(quantities.logits(location.index[0]))[location.index[1]])


def _sum(quantities: Quantities, location: NumberLocation) -> Answer:
    (position,) = location.index
    return quantities.sum(
        "Σ over the vocabulary of exp(logit − max)",
        exps(quantities.logits(position)),
        lambda v: (f"“{quantities.label(v)}”", f"probability.exp[{position},{v}]"),
    )


def _sum_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(exps(quantities.logits(location.index[0])).sum())


def _is_greedy(context: StageContext) -> bool:
    return context.sampling.greedy or context.sampling.temperature == 0


def _u(quantities: Quantities, location: NumberLocation) -> Answer:
    context = quantities.context_at(location.index[0])
    return Answer("", "", [], None, f"{DRAWN} Here: seed {context.sampling.seed}, token {context.draws_for + 1} of the text.")


def _u_value(quantities: Quantities, location: NumberLocation) -> float:
    return quantities.context_at(location.index[0]).draw().u


def _after(quantities: Quantities, location: NumberLocation) -> Answer:
    position, token = location.index
    context = quantities.context_at(position)
    before = quantities.operand("probability before", f"probability[{position},{token}]")
    if not context.draw().kept[token]:
        return Answer("0 for a removed token", "0", [before], 0.0, LEFT_OUT)
    if _is_greedy(context):
        return Answer("1 for the most probable token (greedy)", "1", [before], 1.0)
    temperature = context.sampling.temperature
    score = quantities.operand("logit", f"logits[{position},{token}]")
    top = quantities.operand("largest logit", f"logits[{position},{context.answer}]")
    total = quantities.operand("Σ over the kept tokens", f"sample.sum[{position}]")
    written = f"exp(({number(score.value)} − {bracketed(top.value)}) / {temperature:g}) / {number(total.value)}"
    recomputed = math.exp((score.value - top.value) / temperature) / total.value
    operands = [score, top, Operand("T, the temperature", temperature), total]
    return Answer("exp((logit − max) / T) / Σ over the kept tokens", written, operands, recomputed)


def _after_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(quantities.context_at(location.index[0]).draw().after[location.index[1]])


def _warmed(context: StageContext) -> torch.Tensor:
    """exp((logit − max) / T) of every token, (V,)."""
    return exps(torch.from_numpy(context.logits / (context.sampling.temperature or 1.0)))


def _sample_exp(quantities: Quantities, location: NumberLocation) -> Answer:
    position, token = location.index
    context = quantities.context_at(position)
    temperature = context.sampling.temperature or 1.0
    score = quantities.operand("logit", f"logits[{position},{token}]")
    top = quantities.operand("largest logit", f"logits[{position},{context.answer}]")
    written = f"exp(({number(score.value)} − {bracketed(top.value)}) / {temperature:g})"
    recomputed = math.exp((score.value - top.value) / temperature)
    return Answer("exp((logit − max) / T)", written, [score, top, Operand("T, the temperature", temperature)], recomputed)


def _sample_exp_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(_warmed(quantities.context_at(location.index[0]))[location.index[1]])


def _sample_sum(quantities: Quantities, location: NumberLocation) -> Answer:
    (position,) = location.index
    context = quantities.context_at(position)
    kept = torch.from_numpy(context.draw().kept).nonzero()[:, 0]
    return quantities.sum(
        "Σ over the kept tokens of exp((logit − max) / T)",
        _warmed(context)[kept],
        lambda n: (f"“{quantities.label(int(kept[n]))}”", f"sample.exp[{position},{int(kept[n])}]"),
    )


def _sample_sum_value(quantities: Quantities, location: NumberLocation) -> float:
    context = quantities.context_at(location.index[0])
    return float(_warmed(context)[torch.from_numpy(context.draw().kept)].sum())


def _low(quantities: Quantities, location: NumberLocation) -> Answer:
    position, token = location.index
    draw = quantities.context_at(position).draw()
    before = draw.order[: draw.rank(token)].tolist()
    answer = quantities.sum(
        "Σ over the more probable tokens",
        torch.from_numpy(draw.after[before]),
        lambda n: (f"“{quantities.label(before[n])}”", f"sample.after[{position},{before[n]}]"),
    )
    return answer if before else Answer("0 for the first token", "0", [], 0.0, FIRST)


def _low_value(quantities: Quantities, location: NumberLocation) -> float:
    return quantities.context_at(location.index[0]).draw().interval(location.index[1])[0]


def _high(quantities: Quantities, location: NumberLocation) -> Answer:
    position, token = location.index
    low = quantities.operand("lower bound", f"sample.low[{position},{token}]")
    p = quantities.operand("probability", f"sample.after[{position},{token}]")
    written = f"{number(low.value)} + {number(p.value)}"
    return Answer("lower bound + probability", written, [low, p], low.value + p.value)


def _high_value(quantities: Quantities, location: NumberLocation) -> float:
    return quantities.context_at(location.index[0]).draw().interval(location.index[1])[1]


OUTPUT = {
    "logits": Rule("logit", NEXT, _logit, _logit_value),
    "logits.shifted": Rule("logit − max", NEXT, _shifted, _shifted_value),
    "probability": Rule("probability of the next token", NEXT, _probability, _probability_value),
    "probability.exp": Rule("exp(logit − max)", NEXT, _exp, _exp_value),
    "probability.sum": Rule("sum over the vocabulary", ("position",), _sum, _sum_value),
    "sample.u": Rule("the random number", ("position",), _u, _u_value),
    "sample.after": Rule("probability of being drawn", NEXT, _after, _after_value),
    "sample.exp": Rule("exp((logit − max) / T)", NEXT, _sample_exp, _sample_exp_value),
    "sample.sum": Rule("sum over the kept tokens", ("position",), _sample_sum, _sample_sum_value),
    "sample.low": Rule("lower bound of a token's interval", NEXT, _low, _low_value),
    "sample.high": Rule("upper bound of a token's interval", NEXT, _high, _high_value),
}
