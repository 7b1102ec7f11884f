"""Formulas of the residual stream: embeddings, all terms added to it, and the cosine before and after."""

import torch
from torch import Tensor

from lab.inspect.formulas.quantities import Answer, NumberLocation, Quantities, Rule, cosine, cosine_value, number
from lab.views.number_explanation import Operand
from models.trace import BEFORE, STREAMS

PARTS = ("position", "dimension")
TOKEN = "A token's id selects a row of the token embedding."


def _embed(numbers: Quantities, at: NumberLocation) -> Answer:
    position, i = at.index
    token = numbers.trace.ids[position]
    return _looked_up(numbers, f"row {token} of the token embedding", f"wte.weight[{token},{i}]")


def _pos_embed(numbers: Quantities, at: NumberLocation) -> Answer:
    position, i = at.index
    return _looked_up(numbers, f"row {position} of the position embedding", f"wpe.weight[{position},{i}]")


def _looked_up(numbers: Quantities, formula: str, ref: str) -> Answer:
    weight = numbers.operand("weight", ref)
    return Answer(formula, number(weight.value), [weight], weight.value)


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


def _after(at: NumberLocation) -> str:
    """Reference of the stream after the addition, which may be the one before an intervention."""
    return at.whole.rpartition(".")[0]


def _cosine(numbers: Quantities, at: NumberLocation) -> Answer:
    place = f"[{at.index[0]}]"
    operands = [
        numbers.operand("before · after", f"{_after(at)}.dot{place}"),
        numbers.operand("norm before", f"{_before(at)}.norm{place}"),
        numbers.operand("norm after", f"{_after(at)}.norm{place}"),
    ]
    return cosine("(before · after) / (norm before × norm after)", operands)


def _both(numbers: Quantities, at: NumberLocation) -> list[Tensor]:
    """The streams before and after the addition at the number's position, (C,) each, float64."""
    return [numbers.trace[name][at.index[0]].double() for name in (_before(at), _after(at))]


def _dot(numbers: Quantities, at: NumberLocation) -> Answer:
    before, after = (numbers.vector(name, at.index[0]) for name in (_before(at), _after(at)))
    return numbers.dot("Σᵢ before[i] × after[i]", before, after)


def _dot_value(numbers: Quantities, at: NumberLocation) -> float:
    before, after = _both(numbers, at)
    return float(before @ after)


STREAM = {
    "tokens": Rule(
        "id of a token",
        ("position",),
        lambda numbers, at: Answer("", "", [], None, TOKEN),
        lambda numbers, at: float(numbers.trace.ids[at.index[0]]),
    ),
    "embed": Rule("token embedding", PARTS, _embed),
    "pos_embed": Rule("position embedding", PARTS, _pos_embed),
    "blocks.N.resid_pre": Rule("residual stream before the layer", PARTS, _stream),
    "blocks.N.resid_mid": Rule("residual stream after attention", PARTS, _stream),
    "blocks.N.resid_post": Rule("residual stream after the layer", PARTS, _stream),
    "blocks.N.attn_out": Rule("attention output", PARTS, _attn_out),
    **{
        f"blocks.N.{stream}{before}.{part}": rule
        for stream in ("resid_mid", "resid_post")
        for before in ("", BEFORE)
        for part, rule in {
            "cosine": Rule(
                "cosine of the stream before and after",
                ("position",),
                _cosine,
                lambda numbers, at: cosine_value(*_both(numbers, at)),
            ),
            "dot": Rule("stream before · stream after", ("position",), _dot, _dot_value),
        }.items()
    },
}
