"""Formulas of the residual stream: embeddings, what each layer adds, and the LayerNorms that read it."""

import math
import operator
from dataclasses import replace

import torch

from lab.inspect.formulas.quantities import (
    Answer,
    NumberLocation,
    Quantities,
    Rule,
    cosine,
    mean,
    norm,
    number,
    work_out,
    worked_out,
)
from lab.views.number_explanation import Operand
from lab.views.number_refs import product
from models.gpt import EPSILON
from models.trace import BEFORE, STREAMS


def _table(at: NumberLocation) -> str:
    """`wte.weight` for `wte.cosine`."""
    return at.name.partition(".")[0] + ".weight"


def _rows_dot(numbers: Quantities, at: NumberLocation) -> Answer:
    a, b = (numbers.vector(_table(at), row) for row in at.index)
    return numbers.dot("Σᵢ a[i] × b[i]", a, b)


def _row_norm(numbers: Quantities, at: NumberLocation) -> Answer:
    row = numbers.vector(_table(at), *at.index)
    return norm(numbers.sum("√(Σᵢ a[i]²)", row.values.double().square(), lambda i: (f"a[{i + 1}]²", product(*[row.ref(i)] * 2))))


ROWS_COSINE = cosine(
    "(a · b) / (norm of a × norm of b)",
    ("a · b", "{of}.dot[{0},{1}]"),
    ("norm of a", "{of}.norm[{0}]"),
    ("norm of b", "{of}.norm[{1}]"),
)
EMBEDDINGS = {
    f"{table}.{part}": rule
    for table, words, axis in (("wte", "token embedding", "token"), ("wpe", "position embedding", "row"))
    for part, rule in {
        "cosine": Rule(f"cosine of two rows of the {words}", (axis, axis), ROWS_COSINE),
        "dot": Rule(f"a · b, two rows of the {words}", (axis, axis), _rows_dot),
        "norm": Rule(f"norm of a row of the {words}", (axis,), _row_norm),
    }.items()
}


PARTS = ("position", "dimension")
TOKEN = "A token's id selects a row of the token embedding."


def _embed(numbers: Quantities, at: NumberLocation) -> Answer:
    position, i = at.index
    table, words, row = ("wte", "token", numbers.trace.ids[position]) if at.name == "embed" else ("wpe", "position", position)
    weight = numbers.operand("weight", f"{table}.weight[{row},{i}]")
    return work_out(f"row {row} of the {words} embedding", "{}", [weight], float)


def _stream(numbers: Quantities, at: NumberLocation) -> Answer:
    """The residual stream as the sum of all terms added so far."""
    assert at.layer is not None
    position, i = at.index
    place = f"[{position},{i}]"
    if any(edit.name.rpartition(".")[2] in (*STREAMS, "attn_out") for edit in numbers.trace.edits):
        return _last_addition(numbers, at, place)
    operands = [numbers.operand("token embedding", f"embed{place}"), numbers.operand("position embedding", f"pos_embed{place}")]
    for layer in range(at.layer + 1):
        if layer < at.layer or at.name != "resid_pre":
            operands += _attention_parts(numbers, layer, position, i, f"layer {layer + 1} ")
        if layer < at.layer or at.name == "resid_post":
            operands.append(numbers.operand(f"layer {layer + 1} mlp", f"blocks.{layer}.mlp_out{place}"))
    formula = "embeddings + every head + every bias + every MLP so far"
    if len(operands) == 2:
        formula = "token embedding + position embedding"
    return _sum(numbers, formula, operands)


def _last_addition(numbers: Quantities, at: NumberLocation, place: str) -> Answer:
    """The residual stream as its value before, interventions included, plus the last term."""
    assert at.layer is not None
    if at.name == "resid_pre" and at.layer:
        operands = [numbers.operand("residual stream after the previous layer", f"blocks.{at.layer - 1}.resid_post{place}")]
        return Answer("residual stream of the previous layer", number(operands[0].value), operands, operands[0].value)
    names = {
        "resid_pre": (("token embedding", "embed"), ("position embedding", "pos_embed")),
        "resid_mid": (
            ("stream before", f"{at.block}resid_pre"),
            ("attention output", f"{at.block}attn_out"),
        ),
        "resid_post": (("stream before", f"{at.block}resid_mid"), ("MLP output", f"{at.block}mlp_out")),
    }[at.name]
    operands = [numbers.operand(label, name + place) for label, name in names]
    formula = " + ".join(label for label, _ in names)
    return _sum(numbers, formula, operands)


def _sum(numbers: Quantities, formula: str, operands: list[Operand]) -> Answer:
    values = torch.tensor([each.value for each in operands], dtype=torch.float64)
    return numbers.sum(formula, values, lambda n: (operands[n].label, operands[n].ref))


def _attention_parts(numbers: Quantities, layer: int, position: int, i: int, prefix: str = "") -> list[Operand]:
    return [
        *(
            numbers.operand(f"{prefix}head {head + 1}", f"blocks.{layer}.attn.head_out[{head},{position},{i}]")
            for head in range(numbers.config.heads)
        ),
        numbers.operand(f"{prefix}attention bias", f"h.{layer}.attn.c_proj.bias[{i}]"),
    ]


def _attn_out(numbers: Quantities, at: NumberLocation) -> Answer:
    assert at.layer is not None
    parts = _attention_parts(numbers, at.layer, at.index[0], at.index[1])
    return _sum(numbers, "every head + bias", parts)


def _before(at: NumberLocation) -> str:
    """Reference of the stream before the addition."""
    return at.block + ("resid_pre" if at.name.startswith("resid_mid") else "resid_mid")


def _cosine(numbers: Quantities, at: NumberLocation) -> Answer:
    return cosine(
        "(before · after) / (norm before × norm after)",
        ("before · after", "{of}.dot[{0}]"),
        ("norm before", f"{_before(at)}.norm[{{0}}]"),
        ("norm after", "{of}.norm[{0}]"),
    )(numbers, at)


def _dot(numbers: Quantities, at: NumberLocation) -> Answer:
    before, after = (numbers.vector(name, at.index[0]) for name in (_before(at), at.whole.rpartition(".")[0]))
    return numbers.dot("Σᵢ before[i] × after[i]", before, after)


STREAM = {
    "tokens": Rule(
        "id of a token",
        ("position",),
        lambda numbers, at: Answer("", "", [], None, TOKEN),
        lambda numbers, at: float(numbers.trace.ids[at.index[0]]),
    ),
    "embed": Rule("token embedding", PARTS, _embed),
    "pos_embed": Rule("position embedding", PARTS, _embed),
    "blocks.N.resid_pre": Rule("residual stream before the layer", PARTS, _stream),
    "blocks.N.resid_mid": Rule("residual stream after attention", PARTS, _stream),
    "blocks.N.resid_post": Rule("residual stream after the layer", PARTS, _stream),
    "blocks.N.attn_out": Rule("attention output", PARTS, _attn_out),
    **{
        f"blocks.N.{stream}{before}.{part}": rule
        for stream in ("resid_mid", "resid_post")
        for before in ("", BEFORE)
        for part, rule in {
            "cosine": Rule("cosine of the stream before and after", ("position",), _cosine),
            "dot": Rule("stream before · stream after", ("position",), _dot),
        }.items()
    },
}


def _norm(at: NumberLocation) -> str:
    """The norm's name: `ln_final`, `blocks.0.ln1`."""
    return at.block + at.name.partition(".")[0]


def _weights(at: NumberLocation) -> str:
    return "ln_f" if at.layer is None else f"h.{at.layer}.ln_{_norm(at)[-1]}"


def _source(numbers: Quantities, at: NumberLocation) -> str:
    """The residual stream that the norm is applied to."""
    if at.layer is None:
        return f"blocks.{numbers.config.layers - 1}.resid_post"
    return at.block + ("resid_pre" if at.name.startswith("ln1") else "resid_mid")


def _out(numbers: Quantities, at: NumberLocation) -> Answer:
    return worked_out(
        "(x − mean) / scale × gain + bias",
        "{} × {:()} + {:()}",
        lambda x, gain, bias: x * gain + bias,
        ("(x − mean) / scale", "{of}.normalized[{0},{1}]"),
        ("gain", f"{_weights(at)}.weight[{{1}}]"),
        ("bias", f"{_weights(at)}.bias[{{1}}]"),
    )(numbers, at)


def _centred(numbers: Quantities, at: NumberLocation) -> Answer:
    x = ("x, the residual stream", f"{_source(numbers, at)}[{{0}},{{1}}]")
    return worked_out("x − mean", "{} − {:()}", operator.sub, x, ("mean of x", "{of}.mean[{0}]"))(numbers, at)


def _mean(numbers: Quantities, at: NumberLocation) -> Answer:
    x = numbers.vector(_source(numbers, at), at.index[0])
    return mean(numbers.sum("", x.values, lambda i: (f"x[{i + 1}]", x.ref(i))), "Σᵢ x[i]", len(x.values))


def _variance(numbers: Quantities, at: NumberLocation) -> Answer:
    x = numbers.vector(_source(numbers, at), at.index[0]).values.double()

    def operand(i: int) -> tuple[str, str]:
        centred = f"{_norm(at)}.centred[{at.index[0]},{i}]"
        return f"(x[{i + 1}] − mean)²", product(centred, centred)

    return mean(numbers.sum("", (x - x.mean()).square(), operand), "Σᵢ (x[i] − mean)²", len(x))


NORMALIZED = worked_out(
    "(x − mean) / scale",
    "{} / {}",
    operator.truediv,
    ("x − mean", "{of}.centred[{0},{1}]"),
    ("scale, √(variance + ε)", "{of}.scale[{0}]"),
)
SCALE = worked_out(
    "√(variance + ε)",
    f"√({{}} + {EPSILON:g})",
    lambda variance: math.sqrt(variance + EPSILON),
    ("variance of x", "{of}.variance[{0}]"),
)

_RULES = {
    "out": Rule("after {}", PARTS, _out),
    "normalized": Rule("(x − mean) / scale in {}", PARTS, NORMALIZED),
    "centred": Rule("x − mean in {}", PARTS, _centred),
    "scale": Rule("scale of {}", ("position",), SCALE),
    "variance": Rule("variance of the residual stream before {}", ("position",), _variance),
    "mean": Rule("mean of the residual stream before {}", ("position",), _mean),
}
_NAMES = {"blocks.N.ln1": "LayerNorm 1", "blocks.N.ln2": "LayerNorm 2", "ln_final": "the final norm"}

NORMS = {
    f"{norm}.{part}": replace(rule, title=rule.title.format(name))
    for norm, name in _NAMES.items()
    for part, rule in _RULES.items()
}
