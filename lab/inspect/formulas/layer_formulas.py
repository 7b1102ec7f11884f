"""Formulas of a layer: of its attention and of its MLP.

Of attention: queries, keys and values, scores, the pattern, z, and the heads' outputs. Of the MLP: its neurons, their outputs in
the residual stream, and their effect on logits.
"""

import math
import operator
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
    mean,
    number,
    softmax_rules,
    times,
    work_out,
    worked_out,
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
    width, root = numbers.config.head_width, math.sqrt(numbers.config.head_width)
    if key > query:
        return Answer("−∞ where the key comes after the query", "−∞", [raw], -math.inf, MASKED)
    return work_out(f"q·k / √d, d = {width}", f"{{0}} / √{width} = {{0}} / {number(root)}", [raw], lambda score: score / root)


def parts_of_score(numbers: Quantities, at: NumberLocation) -> ScoreParts:
    """The parts of the score that a number is a term of."""
    assert at.layer is not None
    head, *places = at.index[:3]
    query, key = ((place, numbers.contributors(place, at.layer)) for place in places)
    return score_parts(lambda name: numbers.weights[name].numpy(), numbers.trace, at.layer, head, query, key)


def _score_part(numbers: Quantities, at: NumberLocation) -> Answer:
    parts = parts_of_score(numbers, at)
    q, k = torch.from_numpy(parts.q[at.index[3]]), torch.from_numpy(parts.k[at.index[4]])  # (D,) each
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


WEIGHTED = worked_out(
    "pattern × v",
    "{} × {}",
    operator.mul,
    ("attention pattern", "{block}attn.pattern[{0},{1},{2}]"),
    ("value", "{block}attn.v[{2},{0},{3}]"),
)


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


def _share(numbers: Quantities, at: NumberLocation) -> Answer:
    head, position = at.index
    along = numbers.operand("head's output · attention output", f"{at.block}attn.head_out.along[{head},{position}]")
    norm = numbers.operand("norm of the attention output", f"{numbers.before(f'{at.block}attn_out')}.norm[{position}]")
    return work_out(
        "(head's output · attention output) / norm²",
        "{} / {}²",
        [along, norm],
        lambda along, norm: along / norm**2 if norm else 0.0,
    )


def _pattern_row(numbers: Quantities, at: NumberLocation, head: int, query: int) -> Tensor:
    return numbers.trace[f"{at.block}attn.pattern"][head, query, : query + 1]


def _entropy(numbers: Quantities, at: NumberLocation) -> Answer:
    head, query = at.index
    nats = torch.special.entr(_pattern_row(numbers, at, head, query).double())  # 0 where p is 0
    return numbers.sum(
        "Σ over the keys of p × log₂(1/p), in bits",
        nats / math.log(2),
        lambda k: (numbers.token_at(k), f"{at.block}attn.entropy.term[{head},{query},{k}]"),
    )


ENTROPY_TERM = worked_out(
    "p × log₂(1/p)",
    "{0} × log₂(1 / {0})",
    lambda p: p * math.log2(1 / p) if p else 0.0,
    ("p, attention", "{block}attn.pattern[{0},{1},{2}]"),
)


ATTENTION = {
    "blocks.N.attn.q": Rule("query", PER_HEAD, _projection),
    "blocks.N.attn.k": Rule("key", PER_HEAD, _projection),
    "blocks.N.attn.v": Rule("value", PER_HEAD, _projection),
    "blocks.N.attn.scores_raw": Rule("query · key", PAIR, _score_raw),
    "blocks.N.attn.attn_scores": Rule("attention score", PAIR, _score),
    "blocks.N.attn.attn_scores.part": Rule("a term of the score", (*PAIR, "part of the query", "part of the key"), _score_part),
    "blocks.N.attn.shifted": SHIFTED,
    "blocks.N.attn.exp": EXP,
    "blocks.N.attn.sum": SUM,
    "blocks.N.attn.pattern": Rule("attention pattern", PAIR, SOFTMAX),
    "blocks.N.attn.entropy": Rule("entropy of the attention", PAIR[:2], _entropy),
    "blocks.N.attn.entropy.term": Rule("a key's term in the entropy", PAIR, ENTROPY_TERM),
    "blocks.N.attn.weighted_v": Rule("weighted value", (*PAIR, "dimension"), WEIGHTED),
    "blocks.N.attn.z": Rule("z, weighted sum of values", PER_HEAD, _z),
    "blocks.N.attn.head_out": Rule(
        "a head's output",
        ("head", "position", "dimension"),
        _head_out,
        lambda numbers, at: float(_output(numbers, at)[at.index[2]]),
    ),
    "blocks.N.attn.head_out.along": Rule("a head's output · attention output", ("head", "position"), _along),
    "blocks.N.attn.head_out.share": Rule("a head's share of the attention output", ("head", "position"), _share),
}


NEURON = ("position", "neuron")


def _pre(numbers: Quantities, at: NumberLocation) -> Answer:
    return linear(numbers, at, f"h.{at.layer}.mlp.c_fc", at.index[1], "ln2.out", "W_in")


POST = worked_out(
    "x/2 × (1 + tanh(√(2/π) × (x + 0.044715 x³)))",
    "{0:()}/2 × (1 + tanh(0.7979 × ({0:()} + 0.044715 × {0:()}³)))",
    lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ("x, before GELU", "{block}mlp.pre[{0},{1}]"),
)


def _out(numbers: Quantities, at: NumberLocation) -> Answer:
    return linear(numbers, at, f"h.{at.layer}.mlp.c_proj", at.index[1], "mlp.post", "W_out")


NEURON_OUT = worked_out(
    "GELU(x) × W_out",
    "{} × {:()}",
    operator.mul,
    ("neuron after GELU", "{block}mlp.post[{0},{1}]"),
    ("W_out", "h.{layer}.mlp.c_proj.weight[{2},{1}]"),
)


def _neuron_out_value(numbers: Quantities, at: NumberLocation) -> float:
    """The same without its words, for the norm of all dimensions."""
    position, neuron, i = at.index
    weight = numbers.weights[f"h.{at.layer}.mlp.c_proj.weight"]
    return float(numbers.trace[f"{at.block}mlp.post"][position, neuron]) * float(weight[i, neuron])


LOGIT_EFFECT = worked_out(
    "GELU(x) × effect / scale",
    "{} × {:()} / {}",
    lambda post, effect, scale: post * effect / scale,
    ("neuron after GELU", "{block}mlp.post[{0},{1}]"),
    ("effect of the neuron's vector", "{block}mlp.vector_effect[{1},{2}]"),
    ("scale of the final norm", "ln_final.scale[{0}]"),
)
VECTOR_THROUGH_NORM = worked_out(
    "(W_out − mean) × gain",
    "({} − {:()}) × {:()}",
    lambda weight, mean, gain: (weight - mean) * gain,
    ("W_out", "h.{layer}.mlp.c_proj.weight[{1},{0}]"),
    ("mean of the neuron's vector", "{block}mlp.vector_mean[{0}]"),
    ("gain of the final norm", "ln_f.weight[{1}]"),
)


def _vector(numbers: Quantities, at: NumberLocation, neuron: int) -> Tensor:
    """The neuron's vector, (C,), float64: its column of W_out."""
    return numbers.weights[f"h.{at.layer}.mlp.c_proj.weight"][:, neuron].double()


def _vector_effect(numbers: Quantities, at: NumberLocation) -> Answer:
    neuron, token = at.index
    vector = _vector(numbers, at, neuron)
    passed = Vector(
        (vector - vector.mean()) * numbers.weights["ln_f.weight"].double(),
        lambda i: f"{at.block}mlp.vector_through_norm[{neuron},{i}]",
    )
    formula = "Σᵢ neuron's vector[i] through the final norm's gain × token's embedding[i]"
    return numbers.dot(formula, passed, numbers.vector("wte.weight", token))


def _vector_mean(numbers: Quantities, at: NumberLocation) -> Answer:
    (neuron,) = at.index
    vector = _vector(numbers, at, neuron)
    name = f"h.{at.layer}.mlp.c_proj.weight"
    answer = mean(numbers.sum("", vector, lambda i: (f"dimension {i + 1}", f"{name}[{i},{neuron}]")), "Σᵢ W_out[i]", len(vector))
    return replace(answer, is_sum=False)


MLP = {
    "blocks.N.mlp.pre": Rule("neuron before GELU", NEURON, _pre),
    "blocks.N.mlp.post": Rule("neuron after GELU", NEURON, POST),
    "blocks.N.mlp_out": Rule("MLP output", ("position", "dimension"), _out),
    "blocks.N.mlp.neuron_out": Rule("output of a neuron", (*NEURON, "dimension"), NEURON_OUT, _neuron_out_value),
    "blocks.N.mlp.logit_effect": Rule("effect of a neuron on a logit", (*NEURON, "token"), LOGIT_EFFECT),
    "blocks.N.mlp.vector_effect": Rule("effect of a neuron's vector", ("neuron", "token"), _vector_effect),
    "blocks.N.mlp.vector_through_norm": Rule(
        "neuron's vector through the final norm's gain", ("neuron", "dimension"), VECTOR_THROUGH_NORM
    ),
    "blocks.N.mlp.vector_mean": Rule("mean of a neuron's vector", ("neuron",), _vector_mean),
}
