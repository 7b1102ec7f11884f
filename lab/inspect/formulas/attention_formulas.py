"""Formulas of attention: queries, keys and values, scores, the pattern, z, and the heads' outputs."""

import math

import torch
from torch import Tensor

from lab.inspect.formulas.quantities import Answer, NumberLocation, Quantities, Rule, number, times
from lab.inspect.formulas.shared_formulas import MASKED, exponential, exps, linear, shifted, softmax
from lab.views.number_refs import product

PER_HEAD = ("position", "head", "dimension")
PAIR = ("head", "from", "to")


def _scores_row(quantities: Quantities, place: NumberLocation) -> Tensor:
    """The scores of the place's head and query, (T,)."""
    return quantities.trace[f"{place.block}attn.attn_scores"][place.index[0], place.index[1]]


def _pattern(quantities: Quantities, place: NumberLocation) -> Answer:
    row = _scores_row(quantities, place)
    return softmax(quantities, place, f"{place.block}attn", f"{place.block}attn.attn_scores", row)


def _exp(quantities: Quantities, place: NumberLocation) -> Answer:
    return exponential(quantities, place, f"{place.block}attn.attn_scores", _scores_row(quantities, place))


def _exp_value(quantities: Quantities, place: NumberLocation) -> float:
    return float(exps(_scores_row(quantities, place))[place.index[2]])


def _shifted(quantities: Quantities, place: NumberLocation) -> Answer:
    return shifted(quantities, place, f"{place.block}attn.attn_scores", _scores_row(quantities, place))


def _shifted_value(quantities: Quantities, place: NumberLocation) -> float:
    row = _scores_row(quantities, place).double()
    return float(row[place.index[2]] - row.max())


def _sum(quantities: Quantities, place: NumberLocation) -> Answer:
    head, query = place.index
    return quantities.sum(
        "Σ over the keys of exp(score − max)",
        exps(_scores_row(quantities, place))[: query + 1],
        lambda k: (quantities.token_at(k), f"{place.block}attn.exp[{head},{query},{k}]"),
    )


def _sum_value(quantities: Quantities, place: NumberLocation) -> float:
    return float(exps(_scores_row(quantities, place)).sum())


def _score(quantities: Quantities, place: NumberLocation) -> Answer:
    head, query, key = place.index
    raw = quantities.operand("q·k", f"{place.block}attn.scores_raw[{head},{query},{key}]")
    width = quantities.config.head_width
    if key > query:
        return Answer("−∞ where the key comes after the query", "−∞", [raw], -math.inf, MASKED)
    written = f"{number(raw.value)} / √{width} = {number(raw.value)} / {number(math.sqrt(width))}"
    return Answer(f"q·k / √d, d = {width}", written, [raw], raw.value / math.sqrt(width))


def _score_raw(quantities: Quantities, place: NumberLocation) -> Answer:
    head, query, key = place.index
    return quantities.dot(
        "Σ_d q[d] × k[d]",
        quantities.trace[f"{place.block}attn.q"][query, head],
        lambda d: f"{place.block}attn.q[{query},{head},{d}]",
        quantities.trace[f"{place.block}attn.k"][key, head],
        lambda d: f"{place.block}attn.k[{key},{head},{d}]",
        "dimension",
    )


def _projection(quantities: Quantities, place: NumberLocation) -> Answer:
    position, head, d = place.index
    letter = place.name[-1]
    row = "qkv".index(letter) * quantities.config.width + head * quantities.config.head_width + d
    return linear(quantities, place, position, f"h.{place.layer}.attn.c_attn", row, "ln1.out", f"W_{letter.upper()}")


def _weighted(quantities: Quantities, place: NumberLocation) -> Answer:
    head, query, key, d = place.index
    share = quantities.operand("attention pattern", f"{place.block}attn.pattern[{head},{query},{key}]")
    v = quantities.operand("value", f"{place.block}attn.v[{key},{head},{d}]")
    return Answer("pattern × v", f"{number(share.value)} × {number(v.value)}", [share, v], share.value * v.value)


def _weighted_value(quantities: Quantities, place: NumberLocation) -> float:
    head, query, key, d = place.index
    pattern, v = quantities.trace[f"{place.block}attn.pattern"], quantities.trace[f"{place.block}attn.v"]
    return float(pattern[head, query, key]) * float(v[key, head, d])


def _z(quantities: Quantities, place: NumberLocation) -> Answer:
    query, head, d = place.index
    pattern = quantities.trace[f"{place.block}attn.pattern"][head, query, : query + 1].double()
    v = quantities.trace[f"{place.block}attn.v"][: query + 1, head, d].double()

    def operand(k: int) -> tuple[str, str]:
        factors = f"{place.block}attn.pattern[{head},{query},{k}]", f"{place.block}attn.v[{k},{head},{d}]"
        return f"from {quantities.token_at(k)}", product(*factors)

    written = "Σₖ pattern[k] × v[k]"
    return quantities.sum(written, pattern * v, operand, factors=lambda k: times(float(pattern[k]), float(v[k])))


def _head_out(quantities: Quantities, place: NumberLocation) -> Answer:
    head, position, i = place.index
    first = head * quantities.config.head_width
    name = f"h.{place.layer}.attn.c_proj.weight"
    return quantities.dot(
        "Σ_d z[d] × W_O[d]",
        quantities.trace[f"{place.block}attn.z"][position, head],
        lambda d: f"{place.block}attn.z[{position},{head},{d}]",
        quantities.weights[name][i, first : first + quantities.config.head_width],
        lambda d: f"{name}[{i},{first + d}]",
        "dimension",
    )


def _head_out_value(quantities: Quantities, place: NumberLocation) -> float:
    assert place.layer is not None
    return float(quantities.heads(place.layer, place.index[1])[place.index[0], place.index[2]])


def _along(quantities: Quantities, place: NumberLocation) -> Answer:
    assert place.layer is not None
    head, position = place.index
    out = quantities.before(f"{place.block}attn_out")
    return quantities.dot(
        "Σᵢ head's output[i] × attention output[i]",
        quantities.heads(place.layer, position)[head],
        lambda i: f"{place.block}attn.head_out[{head},{position},{i}]",
        quantities.trace[out][position],
        lambda i: f"{out}[{position},{i}]",
        "dimension",
    )


def _along_value(quantities: Quantities, place: NumberLocation) -> float:
    assert place.layer is not None
    head, position = place.index
    out = quantities.trace[quantities.before(f"{place.block}attn_out")][position].double()
    return float(quantities.heads(place.layer, position)[head] @ out)


def _share(quantities: Quantities, place: NumberLocation) -> Answer:
    head, position = place.index
    along = quantities.operand("head's output · attention output", f"{place.block}attn.head_out.along[{head},{position}]")
    norm = quantities.operand("norm of the attention output", f"{quantities.before(f'{place.block}attn_out')}.norm[{position}]")
    return Answer(
        "(head's output · attention output) / norm²",
        f"{number(along.value)} / {number(norm.value)}²",
        [along, norm],
        along.value / norm.value**2 if norm.value else 0.0,
    )


def _share_value(quantities: Quantities, place: NumberLocation) -> float:
    out = quantities.trace[quantities.before(f"{place.block}attn_out")][place.index[1]].double()
    squared = float(out @ out)
    return _along_value(quantities, place) / squared if squared else 0.0


def _surprise(p: Tensor) -> Tensor:
    """p log2(1/p), 0 where p is 0."""
    nats: Tensor = torch.special.entr(p.double())
    return nats / math.log(2)


def _pattern_row(quantities: Quantities, place: NumberLocation) -> Tensor:
    head, query = place.index[:2]
    return quantities.trace[f"{place.block}attn.pattern"][head, query, : query + 1]


def _entropy(quantities: Quantities, place: NumberLocation) -> Answer:
    head, query = place.index
    return quantities.sum(
        "Σ over the keys of p × log₂(1/p), in bits",
        _surprise(_pattern_row(quantities, place)),
        lambda k: (quantities.token_at(k), f"{place.block}attn.entropy.term[{head},{query},{k}]"),
    )


def _entropy_value(quantities: Quantities, place: NumberLocation) -> float:
    return float(_surprise(_pattern_row(quantities, place)).sum())


def _entropy_term(quantities: Quantities, place: NumberLocation) -> Answer:
    head, query, key = place.index
    p = quantities.operand("p, attention", f"{place.block}attn.pattern[{head},{query},{key}]")
    recomputed = p.value * math.log2(1 / p.value) if p.value else 0.0
    return Answer("p × log₂(1/p)", f"{number(p.value)} × log₂(1 / {number(p.value)})", [p], recomputed)


def _entropy_term_value(quantities: Quantities, place: NumberLocation) -> float:
    return float(_surprise(_pattern_row(quantities, place))[place.index[2]])


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
