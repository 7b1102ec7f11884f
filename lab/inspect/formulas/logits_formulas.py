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
    temperature = context.sampling.temperature
    score = numbers.operand("logit", f"logits[{position},{token}]")
    top = numbers.operand("largest logit", f"logits[{position},{context.answer}]")
    total = numbers.operand("Σ over the kept tokens", f"sample.sum[{position}]")
    written = f"exp(({number(score.value)} − {bracketed(top.value)}) / {temperature:g}) / {number(total.value)}"
    recomputed = math.exp((score.value - top.value) / temperature) / total.value
    operands = [score, top, Operand("T, the temperature", temperature), total]
    return Answer("exp((logit − max) / T) / Σ over the kept tokens", written, operands, recomputed)


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


def _high(numbers: Quantities, at: NumberLocation) -> Answer:
    position, token = at.index
    low = numbers.operand("lower bound", f"sample.low[{position},{token}]")
    p = numbers.operand("probability", f"sample.after[{position},{token}]")
    written = f"{number(low.value)} + {number(p.value)}"
    return Answer("lower bound + probability", written, [low, p], low.value + p.value)


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
    "sample.exp": Rule(
        "exp((logit − max) / T)",
        NEXT,
        _sample_exp,
        lambda numbers, at: float(_warmed(numbers.context_at(at.index[0]))[at.index[1]]),
    ),
    "sample.sum": Rule("sum over the kept tokens", ("position",), _sample_sum, _sample_sum_value),
    "sample.low": Rule(
        "lower bound of a token's interval", NEXT, _low, lambda numbers, at: _draw(numbers, at).interval(at.index[1])[0]
    ),
    "sample.high": Rule(
        "upper bound of a token's interval", NEXT, _high, lambda numbers, at: _draw(numbers, at).interval(at.index[1])[1]
    ),
}
