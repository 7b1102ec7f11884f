"""Formulas of attention: queries, keys and values, scores, the pattern, z, and the heads' outputs."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from lab.inspect.formulas.quantities import (
    MASKED,
    Answer,
    NumberLocation,
    Quantities,
    Rule,
    Scores,
    Vector,
    linear,
    number,
    softmax_rules,
    times,
)
from lab.inspect.stages.score_parts_stage import ScoreParts, score_parts
from lab.views.number_refs import product

PER_HEAD = ("position", "head", "dimension")
PAIR = ("head", "from", "to")


def _scores(numbers: Quantities, at: NumberLocation) -> Scores:
    """The scores of the head and query of a number, (T,)."""
    head, query = at.index[:2]
    name = f"{at.block}attn.attn_scores"
    return Scores(f"{at.block}attn", name, numbers.trace[name][head, query], query + 1)


SHIFTED, EXP, SUM, SOFTMAX = softmax_rules("score", "keys", PAIR, _scores, Quantities.token_at)


def _score(numbers: Quantities, at: NumberLocation) -> Answer:
    head, query, key = at.index
    raw = numbers.operand("q·k", f"{at.block}attn.scores_raw[{head},{query},{key}]")
    width = numbers.config.head_width
    if key > query:
        return Answer("−∞ where the key comes after the query", "−∞", [raw], -math.inf, MASKED)
    written = f"{number(raw.value)} / √{width} = {number(raw.value)} / {number(math.sqrt(width))}"
    return Answer(f"q·k / √d, d = {width}", written, [raw], raw.value / math.sqrt(width))


def parts_of_score(numbers: Quantities, at: NumberLocation) -> ScoreParts:
    """The parts of the score that a number is a term of."""
    assert at.layer is not None
    head, *places = at.index[:3]
    query, key = ((place, numbers.contributors(place, at.layer)) for place in places)
    return score_parts(lambda name: numbers.weights[name].numpy(), numbers.trace, at.layer, head, query, key)


def _factors(numbers: Quantities, at: NumberLocation) -> tuple[Tensor, Tensor]:
    """The part of the query and the part of the key, (D,) each, whose product is a term of the score."""
    parts = parts_of_score(numbers, at)
    return torch.from_numpy(parts.q[at.index[3]]), torch.from_numpy(parts.k[at.index[4]])


def _score_part(numbers: Quantities, at: NumberLocation) -> Answer:
    q, k = _factors(numbers, at)
    root = math.sqrt(len(q))
    answer = numbers.sum(
        f"Σ_d part of q[d] × part of k[d] / √{len(q)}",
        q * k / root,
        lambda d: (f"dimension {d + 1}", ""),
        factors=lambda d: f"{times(float(q[d]), float(k[d]))} / {number(root)}",
    )
    return replace(answer, note="The norms' scales are held at their values, so that all terms add up to the score.")


def _score_raw(numbers: Quantities, at: NumberLocation) -> Answer:
    head, query, key = at.index
    q, k = numbers.vector(f"{at.block}attn.q", query, head), numbers.vector(f"{at.block}attn.k", key, head)
    return numbers.dot("Σ_d q[d] × k[d]", q, k)


def _projection(numbers: Quantities, at: NumberLocation) -> Answer:
    _, head, d = at.index
    letter = at.name[-1]
    row = "qkv".index(letter) * numbers.config.width + head * numbers.config.head_width + d
    return linear(numbers, at, f"h.{at.layer}.attn.c_attn", row, "ln1.out", f"W_{letter.upper()}")


def _weighted(numbers: Quantities, at: NumberLocation) -> Answer:
    head, query, key, d = at.index
    p = numbers.operand("attention pattern", f"{at.block}attn.pattern[{head},{query},{key}]")
    v = numbers.operand("value", f"{at.block}attn.v[{key},{head},{d}]")
    return Answer("pattern × v", f"{number(p.value)} × {number(v.value)}", [p, v], p.value * v.value)


def _weighted_value(numbers: Quantities, at: NumberLocation) -> float:
    head, query, key, d = at.index
    pattern, v = numbers.trace[f"{at.block}attn.pattern"], numbers.trace[f"{at.block}attn.v"]
    return float(pattern[head, query, key]) * float(v[key, head, d])


def _z(numbers: Quantities, at: NumberLocation) -> Answer:
    query, head, d = at.index
    pattern = _pattern_row(numbers, at, head, query).double()
    v = numbers.trace[f"{at.block}attn.v"][: query + 1, head, d].double()

    def operand(k: int) -> tuple[str, str]:
        factors = f"{at.block}attn.pattern[{head},{query},{k}]", f"{at.block}attn.v[{k},{head},{d}]"
        return f"from {numbers.token_at(k)}", product(*factors)

    written = "Σₖ pattern[k] × v[k]"
    return numbers.sum(written, pattern * v, operand, factors=lambda k: times(float(pattern[k]), float(v[k])))


def _head_out(numbers: Quantities, at: NumberLocation) -> Answer:
    head, position, i = at.index
    width = numbers.config.head_width
    first, name = head * width, f"h.{at.layer}.attn.c_proj.weight"
    own_part = Vector(numbers.weights[name][i, first : first + width], lambda d: f"{name}[{i},{first + d}]")
    return numbers.dot("Σ_d z[d] × W_O[d]", numbers.vector(f"{at.block}attn.z", position, head), own_part)


def _output(numbers: Quantities, at: NumberLocation) -> Tensor:
    """The output of the number's head at its position, (C,), float64."""
    assert at.layer is not None
    head, position = at.index[:2]
    return numbers.heads(at.layer, position)[head]


def _along(numbers: Quantities, at: NumberLocation) -> Answer:
    head, position = at.index
    output = Vector(_output(numbers, at), lambda i: f"{at.block}attn.head_out[{head},{position},{i}]")
    whole = numbers.vector(numbers.before(f"{at.block}attn_out"), position)
    return numbers.dot("Σᵢ head's output[i] × attention output[i]", output, whole)


def _whole(numbers: Quantities, at: NumberLocation) -> Tensor:
    """The attention output at the number's position, (C,), float64."""
    return numbers.trace[numbers.before(f"{at.block}attn_out")][at.index[1]].double()


def _along_value(numbers: Quantities, at: NumberLocation) -> float:
    return float(_output(numbers, at) @ _whole(numbers, at))


def _share(numbers: Quantities, at: NumberLocation) -> Answer:
    head, position = at.index
    along = numbers.operand("head's output · attention output", f"{at.block}attn.head_out.along[{head},{position}]")
    norm = numbers.operand("norm of the attention output", f"{numbers.before(f'{at.block}attn_out')}.norm[{position}]")
    share = along.value / norm.value**2 if norm.value else 0.0
    written = f"{number(along.value)} / {number(norm.value)}²"
    return Answer("(head's output · attention output) / norm²", written, [along, norm], share)


def _share_value(numbers: Quantities, at: NumberLocation) -> float:
    out = _whole(numbers, at)
    squared = float(out @ out)
    return _along_value(numbers, at) / squared if squared else 0.0


def _pattern_row(numbers: Quantities, at: NumberLocation, head: int, query: int) -> Tensor:
    return numbers.trace[f"{at.block}attn.pattern"][head, query, : query + 1]


def _entropy_terms(numbers: Quantities, at: NumberLocation) -> Tensor:
    """p log2(1/p) of each key, 0 where p is 0."""
    nats: Tensor = torch.special.entr(_pattern_row(numbers, at, *at.index[:2]).double())
    return nats / math.log(2)


def _entropy(numbers: Quantities, at: NumberLocation) -> Answer:
    head, query = at.index
    return numbers.sum(
        "Σ over the keys of p × log₂(1/p), in bits",
        _entropy_terms(numbers, at),
        lambda k: (numbers.token_at(k), f"{at.block}attn.entropy.term[{head},{query},{k}]"),
    )


def _entropy_term(numbers: Quantities, at: NumberLocation) -> Answer:
    head, query, key = at.index
    p = numbers.operand("p, attention", f"{at.block}attn.pattern[{head},{query},{key}]")
    recomputed = p.value * math.log2(1 / p.value) if p.value else 0.0
    return Answer("p × log₂(1/p)", f"{number(p.value)} × log₂(1 / {number(p.value)})", [p], recomputed)


ATTENTION = {
    "blocks.N.attn.q": Rule("query", PER_HEAD, _projection),
    "blocks.N.attn.k": Rule("key", PER_HEAD, _projection),
    "blocks.N.attn.v": Rule("value", PER_HEAD, _projection),
    "blocks.N.attn.scores_raw": Rule("query · key", PAIR, _score_raw),
    "blocks.N.attn.attn_scores": Rule("attention score", PAIR, _score),
    "blocks.N.attn.attn_scores.part": Rule(
        "a term of the score",
        (*PAIR, "part of the query", "part of the key"),
        _score_part,
        lambda numbers, at: float(torch.dot(*_factors(numbers, at))) / math.sqrt(numbers.config.head_width),
    ),
    "blocks.N.attn.shifted": SHIFTED,
    "blocks.N.attn.exp": EXP,
    "blocks.N.attn.sum": SUM,
    "blocks.N.attn.pattern": Rule("attention pattern", PAIR, SOFTMAX),
    "blocks.N.attn.entropy": Rule(
        "entropy of the attention", PAIR[:2], _entropy, lambda numbers, at: float(_entropy_terms(numbers, at).sum())
    ),
    "blocks.N.attn.entropy.term": Rule(
        "a key's term in the entropy", PAIR, _entropy_term, lambda numbers, at: float(_entropy_terms(numbers, at)[at.index[2]])
    ),
    "blocks.N.attn.weighted_v": Rule("weighted value", (*PAIR, "dimension"), _weighted, _weighted_value),
    "blocks.N.attn.z": Rule("z, weighted sum of values", PER_HEAD, _z),
    "blocks.N.attn.head_out": Rule(
        "a head's output",
        ("head", "position", "dimension"),
        _head_out,
        lambda numbers, at: float(_output(numbers, at)[at.index[2]]),
    ),
    "blocks.N.attn.head_out.along": Rule("a head's output · attention output", ("head", "position"), _along, _along_value),
    "blocks.N.attn.head_out.share": Rule("a head's share of the attention output", ("head", "position"), _share, _share_value),
}
