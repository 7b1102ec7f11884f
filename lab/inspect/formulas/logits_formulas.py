"""Formulas of the logits, their softmax over the vocabulary, and the draw of the next token."""

import math

import torch

from lab.inspect.formulas.quantities import (
    Answer,
    NumberLocation,
    Quantities,
    Rule,
    Scores,
    bracketed,
    exps,
    number,
    softmax_rules,
)
from lab.inspect.stages.stage_context import StageContext
from lab.views.number_explanation import Operand

NEXT = ("position", "token")
DRAWN = "A random number from the seed and the position alone."
LEFT_OUT = "Temperature, top-k or top-p remove this token."
FIRST = "The most probable token comes first."


def _logit(numbers: Quantities, at: NumberLocation) -> Answer:
    position, token = at.index
    one, other = numbers.vector("ln_final.out", position), numbers.vector("wte.weight", token)
    return numbers.dot("Σᵢ final norm[i] × token's embedding[i]", one, other)


def _logit_value(numbers: Quantities, at: NumberLocation) -> float:
    return float(numbers.logits(at.index[0])[at.index[1]])


def _scores(numbers: Quantities, at: NumberLocation) -> Scores:
    return Scores("probability", "logits", numbers.logits(at.index[0]))


SHIFTED, EXP, SUM, SOFTMAX = softmax_rules("logit", "vocabulary", NEXT, _scores, lambda numbers, id_: f"“{numbers.label(id_)}”")


def _probability_value(numbers: Quantities, at: NumberLocation) -> float:
    return float(numbers.logits(at.index[0]).softmax(-1)[at.index[1]])


def _is_greedy(context: StageContext) -> bool:
    return context.sampling.greedy or context.sampling.temperature == 0


def _u(numbers: Quantities, at: NumberLocation) -> Answer:
    context = numbers.context_at(at.index[0])
    return Answer("", "", [], None, f"{DRAWN} Here: seed {context.sampling.seed}, token {context.draws_for + 1} of the text.")


def _u_value(numbers: Quantities, at: NumberLocation) -> float:
    return numbers.context_at(at.index[0]).draw().u


def _after(numbers: Quantities, at: NumberLocation) -> Answer:
    position, token = at.index
    context = numbers.context_at(position)
    before = numbers.operand("probability before", f"probability[{position},{token}]")
    if not context.draw().kept[token]:
        return Answer("0 for a removed token", "0", [before], 0.0, LEFT_OUT)
    if _is_greedy(context):
        return Answer("1 for the most probable token (greedy)", "1", [before], 1.0)
    temperature = context.sampling.temperature
    score = numbers.operand("logit", f"logits[{position},{token}]")
    top = numbers.operand("largest logit", f"logits[{position},{context.answer}]")
    total = numbers.operand("Σ over the kept tokens", f"sample.sum[{position}]")
    written = f"exp(({number(score.value)} − {bracketed(top.value)}) / {temperature:g}) / {number(total.value)}"
    recomputed = math.exp((score.value - top.value) / temperature) / total.value
    operands = [score, top, Operand("T, the temperature", temperature), total]
    return Answer("exp((logit − max) / T) / Σ over the kept tokens", written, operands, recomputed)


def _after_value(numbers: Quantities, at: NumberLocation) -> float:
    return float(numbers.context_at(at.index[0]).draw().after[at.index[1]])


def _warmed(context: StageContext) -> torch.Tensor:
    """exp((logit − max) / T) of every token, (V,)."""
    return exps(torch.from_numpy(context.logits / (context.sampling.temperature or 1.0)))


def _sample_exp(numbers: Quantities, at: NumberLocation) -> Answer:
    position, token = at.index
    context = numbers.context_at(position)
    temperature = context.sampling.temperature or 1.0
    score = numbers.operand("logit", f"logits[{position},{token}]")
    top = numbers.operand("largest logit", f"logits[{position},{context.answer}]")
    written = f"exp(({number(score.value)} − {bracketed(top.value)}) / {temperature:g})"
    recomputed = math.exp((score.value - top.value) / temperature)
    return Answer("exp((logit − max) / T)", written, [score, top, Operand("T, the temperature", temperature)], recomputed)


def _sample_exp_value(numbers: Quantities, at: NumberLocation) -> float:
    return float(_warmed(numbers.context_at(at.index[0]))[at.index[1]])


def _sample_sum(numbers: Quantities, at: NumberLocation) -> Answer:
    (position,) = at.index
    context = numbers.context_at(position)
    kept = torch.from_numpy(context.draw().kept).nonzero()[:, 0]
    return numbers.sum(
        "Σ over the kept tokens of exp((logit − max) / T)",
        _warmed(context)[kept],
        lambda n: (f"“{numbers.label(int(kept[n]))}”", f"sample.exp[{position},{int(kept[n])}]"),
    )


def _sample_sum_value(numbers: Quantities, at: NumberLocation) -> float:
    context = numbers.context_at(at.index[0])
    return float(_warmed(context)[torch.from_numpy(context.draw().kept)].sum())


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


def _low_value(numbers: Quantities, at: NumberLocation) -> float:
    return numbers.context_at(at.index[0]).draw().interval(at.index[1])[0]


def _high(numbers: Quantities, at: NumberLocation) -> Answer:
    position, token = at.index
    low = numbers.operand("lower bound", f"sample.low[{position},{token}]")
    p = numbers.operand("probability", f"sample.after[{position},{token}]")
    written = f"{number(low.value)} + {number(p.value)}"
    return Answer("lower bound + probability", written, [low, p], low.value + p.value)


def _high_value(numbers: Quantities, at: NumberLocation) -> float:
    return numbers.context_at(at.index[0]).draw().interval(at.index[1])[1]


OUTPUT = {
    "logits": Rule("logit", NEXT, _logit, _logit_value),
    "logits.shifted": SHIFTED,
    "probability": Rule("probability of the next token", NEXT, SOFTMAX, _probability_value),
    "probability.exp": EXP,
    "probability.sum": SUM,
    "sample.u": Rule("the random number", ("position",), _u, _u_value),
    "sample.after": Rule("probability of being drawn", NEXT, _after, _after_value),
    "sample.exp": Rule("exp((logit − max) / T)", NEXT, _sample_exp, _sample_exp_value),
    "sample.sum": Rule("sum over the kept tokens", ("position",), _sample_sum, _sample_sum_value),
    "sample.low": Rule("lower bound of a token's interval", NEXT, _low, _low_value),
    "sample.high": Rule("upper bound of a token's interval", NEXT, _high, _high_value),
}
