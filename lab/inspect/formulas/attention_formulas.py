"""Formulas of attention: queries, keys and values, scores, the pattern, z, and the heads' outputs."""

import math

import torch
from torch import Tensor

from lab.inspect.formulas.quantities import (
    MASKED,
    Answer,
    NumberLocation,
    Quantities,
    Rule,
    exponential,
    exps,
    linear,
    number,
    shifted,
    softmax,
    times,
)
from lab.views.number_refs import product

PER_HEAD = ("position", "head", "dimension")
PAIR = ("head", "from", "to")


def _scores_row(quantities: Quantities, location: NumberLocation) -> Tensor:
    """The scores of the location's head and query, (T,)."""
    return quantities.trace[f"{location.block}attn.attn_scores"][location.index[0], location.index[1]]


def _pattern(quantities: Quantities, location: NumberLocation) -> Answer:
    row = _scores_row(quantities, location)
    return softmax(quantities, location, f"{location.block}attn", f"{location.block}attn.attn_scores", row)


def _exp(quantities: Quantities, location: NumberLocation) -> Answer:
    return exponential(quantities, location, f"{location.block}attn.attn_scores", _scores_row(quantities, location))


def _exp_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(exps(_scores_row(quantities, location))[location.index[2]])


def _shifted(quantities: Quantities, location: NumberLocation) -> Answer:
    return shifted(quantities, location, f"{location.block}attn.attn_scores", _scores_row(quantities, location))


def _shifted_value(quantities: Quantities, location: NumberLocation) -> float:
    row = _scores_row(quantities, location).double()
    return float(row[location.index[2]] - row.max())


def _sum(quantities: Quantities, location: NumberLocation) -> Answer:
    head, query = location.index
    return quantities.sum(
        "Σ over the keys of exp(score − max)",
        exps(_scores_row(quantities, location))[: query + 1],
        lambda k: (quantities.token_at(k), f"{location.block}attn.exp[{head},{query},{k}]"),
    )


def _sum_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(exps(_scores_row(quantities, location)).sum())


def _score(quantities: Quantities, location: NumberLocation) -> Answer:
    head, query, key = location.index
    raw = quantities.operand("q·k", f"{location.block}attn.scores_raw[{head},{query},{key}]")
    width = quantities.config.head_width
    if key > query:
        return Answer("−∞ where the key comes after the query", "−∞", [raw], -math.inf, MASKED)
    written = f"{number(raw.value)} / √{width} = {number(raw.value)} / {number(math.sqrt(width))}"
    return Answer(f"q·k / √d, d = {width}", written, [raw], raw.value / math.sqrt(width))


def _score_raw(quantities: Quantities, location: NumberLocation) -> Answer:
    head, query, key = location.index
    return quantities.dot(
        "Σ_d q[d] × k[d]",
        quantities.trace[f"{location.block}attn.q"][query, head],
        lambda d: f"{location.block}attn.q[{query},{head},{d}]",
        quantities.trace[f"{location.block}attn.k"][key, head],
        lambda d: f"{location.block}attn.k[{key},{head},{d}]",
        "dimension",
    )


def _projection(quantities: Quantities, location: NumberLocation) -> Answer:
    position, head, d = location.index
    letter = location.name[-1]
    row = "qkv".index(letter) * quantities.config.width + head * quantities.config.head_width + d
    return linear(quantities, location, position, f"h.{location.layer}.attn.c_attn", row, "ln1.out", f"W_{letter.upper()}")


def _weighted(quantities: Quantities, location: NumberLocation) -> Answer:
    head, query, key, d = location.index
    p = quantities.operand("attention pattern", f"{location.block}attn.pattern[{head},{query},{key}]")
    v = quantities.operand("value", f"{location.block}attn.v[{key},{head},{d}]")
    return Answer("pattern × v", f"{number(p.value)} × {number(v.value)}", [p, v], p.value * v.value)


def _weighted_value(quantities: Quantities, location: NumberLocation) -> float:
    head, query, key, d = location.index
    pattern, v = quantities.trace[f"{location.block}attn.pattern"], quantities.trace[f"{location.block}attn.v"]
    return float(pattern[head, query, key]) * float(v[key, head, d])


def _z(quantities: Quantities, location: NumberLocation) -> Answer:
    query, head, d = location.index
    pattern = quantities.trace[f"{location.block}attn.pattern"][head, query, : query + 1].double()
    v = quantities.trace[f"{location.block}attn.v"][: query + 1, head, d].double()

    def operand(k: int) -> tuple[str, str]:
        factors = f"{location.block}attn.pattern[{head},{query},{k}]", f"{location.block}attn.v[{k},{head},{d}]"
        return f"from {quantities.token_at(k)}", product(*factors)

    written = "Σₖ pattern[k] × v[k]"
    return quantities.sum(written, pattern * v, operand, factors=lambda k: times(float(pattern[k]), float(v[k])))


def _head_out(quantities: Quantities, location: NumberLocation) -> Answer:
    head, position, i = location.index
    first = head * quantities.config.head_width
    name = f"h.{location.layer}.attn.c_proj.weight"
    return quantities.dot(
        "Σ_d z[d] × W_O[d]",
        quantities.trace[f"{location.block}attn.z"][position, head],
        lambda d: f"{location.block}attn.z[{position},{head},{d}]",
        quantities.weights[name][i, first : first + quantities.config.head_width],
        lambda d: f"{name}[{i},{first + d}]",
        "dimension",
    )


def _head_out_value(quantities: Quantities, location: NumberLocation) -> float:
    assert location.layer is not None
    return float(quantities.heads(location.layer, location.index[1])[location.index[0], location.index[2]])


def _along(quantities: Quantities, location: NumberLocation) -> Answer:
    assert location.layer is not None
    head, position = location.index
    out = quantities.before(f"{location.block}attn_out")
    return quantities.dot(
        "Σᵢ head's output[i] × attention output[i]",
        quantities.heads(location.layer, position)[head],
        lambda i: f"{location.block}attn.head_out[{head},{position},{i}]",
        quantities.trace[out][position],
        lambda i: f"{out}[{position},{i}]",
        "dimension",
    )


def _along_value(quantities: Quantities, location: NumberLocation) -> float:
    assert location.layer is not None
    head, position = location.index
    out = quantities.trace[quantities.before(f"{location.block}attn_out")][position].double()
    return float(quantities.heads(location.layer, position)[head] @ out)


def _share(quantities: Quantities, location: NumberLocation) -> Answer:
    head, position = location.index
    along = quantities.operand("head's output · attention output", f"{location.block}attn.head_out.along[{head},{position}]")
    norm = quantities.operand(
        "norm of the attention output", f"{quantities.before(f'{location.block}attn_out')}.norm[{position}]"
    )
    return Answer(
        "(head's output · attention output) / norm²",
        f"{number(along.value)} / {number(norm.value)}²",
        [along, norm],
        along.value / norm.value**2 if norm.value else 0.0,
    )


def _share_value(quantities: Quantities, location: NumberLocation) -> float:
    out = quantities.trace[quantities.before(f"{location.block}attn_out")][location.index[1]].double()
    squared = float(out @ out)
    return _along_value(quantities, location) / squared if squared else 0.0


def _surprise(p: Tensor) -> Tensor:
    """p log2(1/p), 0 where p is 0."""
    nats: Tensor = torch.special.entr(p.double())
    return nats / math.log(2)


def _pattern_row(quantities: Quantities, location: NumberLocation) -> Tensor:
    head, query = location.index[:2]
    return quantities.trace[f"{location.block}attn.pattern"][head, query, : query + 1]


def _entropy(quantities: Quantities, location: NumberLocation) -> Answer:
    head, query = location.index
    return quantities.sum(
        "Σ over the keys of p × log₂(1/p), in bits",
        _surprise(_pattern_row(quantities, location)),
        lambda k: (quantities.token_at(k), f"{location.block}attn.entropy.term[{head},{query},{k}]"),
    )


def _entropy_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(_surprise(_pattern_row(quantities, location)).sum())


def _entropy_term(quantities: Quantities, location: NumberLocation) -> Answer:
    head, query, key = location.index
    p = quantities.operand("p, attention", f"{location.block}attn.pattern[{head},{query},{key}]")
    recomputed = p.value * math.log2(1 / p.value) if p.value else 0.0
    return Answer("p × log₂(1/p)", f"{number(p.value)} × log₂(1 / {number(p.value)})", [p], recomputed)


def _entropy_term_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(_surprise(_pattern_row(quantities, location))[location.index[2]])


ATTENTION = {
    "blocks.N.attn.q": Rule("query", PER_HEAD, _projection),
    "blocks.N.attn.k": Rule("key", PER_HEAD, _projection),
    "blocks.N.attn.v": Rule("value", PER_HEAD, _projection),
    "blocks.N.attn.scores_raw": Rule("query · key", PAIR, _score_raw),
    "blocks.N.attn.attn_scores": Rule("attention score", PAIR, _score),
    "blocks.N.attn.shifted": Rule("score − max", PAIR, _shifted, _shifted_value),
    "blocks.N.attn.exp": Rule("exp(score − max)", PAIR, _exp, _exp_value),
    "blocks.N.attn.sum": Rule("sum over the keys", ("head", "from"), _sum, _sum_value),
    "blocks.N.attn.pattern": Rule("attention pattern", PAIR, _pattern),
    "blocks.N.attn.entropy": Rule("entropy of the attention", ("head", "from"), _entropy, _entropy_value),
    "blocks.N.attn.entropy.term": Rule("a key's term in the entropy", PAIR, _entropy_term, _entropy_term_value),
    "blocks.N.attn.weighted_v": Rule("weighted value", (*PAIR, "dimension"), _weighted, _weighted_value),
    "blocks.N.attn.z": Rule("z, weighted sum of values", PER_HEAD, _z),
    "blocks.N.attn.head_out": Rule("a head's output", ("head", "position", "dimension"), _head_out, _head_out_value),
    "blocks.N.attn.head_out.along": Rule("a head's output · attention output", ("head", "position"), _along, _along_value),
    "blocks.N.attn.head_out.share": Rule("a head's share of the attention output", ("head", "position"), _share, _share_value),
}
