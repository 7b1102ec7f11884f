"""Formulas of the residual stream: embeddings, all terms added to it, and the cosine before and after."""

import torch
from torch import Tensor

from lab.inspect.formulas.quantities import Answer, NumberLocation, Quantities, Rule, cosine, number
from lab.views.number_explanation import Operand
from models.trace import BEFORE, STREAMS

PARTS = ("position", "dimension")
TOKEN = "A token's id selects a row of the token embedding."


def _token(quantities: Quantities, location: NumberLocation) -> Answer:
    return Answer("", "", [], None, TOKEN)


def _token_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(quantities.trace.ids[location.index[0]])


def _embed(quantities: Quantities, location: NumberLocation) -> Answer:
    position, i = location.index
    token = quantities.trace.ids[position]
    return _looked_up(quantities, f"row {token} of the token embedding", f"wte.weight[{token},{i}]")


def _pos_embed(quantities: Quantities, location: NumberLocation) -> Answer:
    position, i = location.index
    return _looked_up(quantities, f"row {position} of the position embedding", f"wpe.weight[{position},{i}]")


def _looked_up(quantities: Quantities, formula: str, ref: str) -> Answer:
    weight = quantities.operand("weight", ref)
    return Answer(formula, number(weight.value), [weight], weight.value)


def _stream(quantities: Quantities, location: NumberLocation) -> Answer:
    """The residual stream as the sum of all terms added so far."""
    assert location.layer is not None
    position, i = location.index
    at = f"[{position},{i}]"
    if any(edit.name.rpartition(".")[2] in (*STREAMS, "attn_out") for edit in quantities.trace.edits):
        return _last_addition(quantities, location, at)
    operands = [quantities.operand("token embedding", f"embed{at}"), quantities.operand("position embedding", f"pos_embed{at}")]
    for layer in range(location.layer + 1):
        if layer < location.layer or location.name != "resid_pre":
            operands += _attention_parts(quantities, layer, position, i, f"layer {layer + 1} ")
        if layer < location.layer or location.name == "resid_post":
            operands.append(quantities.operand(f"layer {layer + 1} mlp", f"blocks.{layer}.mlp_out{at}"))
    formula = "embeddings + every head + every bias + every MLP so far"
    if len(operands) == 2:
        formula = "token embedding + position embedding"
    return quantities.sum(formula, _values(operands), lambda n: (operands[n].label, operands[n].ref))


def _last_addition(quantities: Quantities, location: NumberLocation, at: str) -> Answer:
    """The residual stream as its value before, interventions included, plus the last term."""
    assert location.layer is not None
    if location.name == "resid_pre" and location.layer:
        operands = [quantities.operand("residual stream after the previous layer", f"blocks.{location.layer - 1}.resid_post{at}")]
        return Answer("residual stream of the previous layer", number(operands[0].value), operands, operands[0].value)
    names = {
        "resid_pre": (("token embedding", "embed"), ("position embedding", "pos_embed")),
        "resid_mid": (
            ("stream before", f"{location.block}resid_pre"),
            ("attention output", f"{location.block}attn_out"),
        ),
        "resid_post": (("stream before", f"{location.block}resid_mid"), ("MLP output", f"{location.block}mlp_out")),
    }[location.name]
    operands = [quantities.operand(label, name + at) for label, name in names]
    formula = " + ".join(label for label, _ in names)
    return quantities.sum(formula, _values(operands), lambda n: (operands[n].label, operands[n].ref))


def _values(operands: list[Operand]) -> Tensor:
    return torch.tensor([each.value for each in operands], dtype=torch.float64)


def _attention_parts(quantities: Quantities, layer: int, position: int, i: int, prefix: str = "") -> list[Operand]:
    return [
        *(
            quantities.operand(f"{prefix}head {head + 1}", f"blocks.{layer}.attn.head_out[{head},{position},{i}]")
            for head in range(quantities.config.heads)
        ),
        quantities.operand(f"{prefix}attention bias", f"h.{layer}.attn.c_proj.bias[{i}]"),
    ]


def _attn_out(quantities: Quantities, location: NumberLocation) -> Answer:
    assert location.layer is not None
    parts = _attention_parts(quantities, location.layer, location.index[0], location.index[1])
    return quantities.sum("every head + bias", _values(parts), lambda n: (parts[n].label, parts[n].ref))


def _before(location: NumberLocation) -> str:
    """Reference of the stream before the addition."""
    return location.block + ("resid_pre" if location.name.startswith("resid_mid") else "resid_mid")


def _after(location: NumberLocation) -> str:
    """Reference of the stream after the addition, which may be the one before an intervention."""
    return location.whole.rpartition(".")[0]


def _cosine(quantities: Quantities, location: NumberLocation) -> Answer:
    at = f"[{location.index[0]}]"
    operands = [
        quantities.operand("before · after", f"{_after(location)}.dot{at}"),
        quantities.operand("norm before", f"{_before(location)}.norm{at}"),
        quantities.operand("norm after", f"{_after(location)}.norm{at}"),
    ]
    return cosine("(before · after) / (norm before × norm after)", operands)


def _cosine_value(quantities: Quantities, location: NumberLocation) -> float:
    before, after = (quantities.trace[name][location.index[0]].double() for name in (_before(location), _after(location)))
    norms = float(before.norm() * after.norm())
    return float(before @ after) / norms if norms else 0.0


def _dot(quantities: Quantities, location: NumberLocation) -> Answer:
    position = location.index[0]
    return quantities.dot(
        "Σᵢ before[i] × after[i]",
        quantities.trace[_before(location)][position],
        lambda i: f"{_before(location)}[{position},{i}]",
        quantities.trace[_after(location)][position],
        lambda i: f"{_after(location)}[{position},{i}]",
        "dimension",
    )


def _dot_value(quantities: Quantities, location: NumberLocation) -> float:
    before, after = (quantities.trace[name][location.index[0]].double() for name in (_before(location), _after(location)))
    return float(before @ after)


STREAM = {
    "tokens": Rule("id of a token", ("position",), _token, _token_value),
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
            "cosine": Rule("cosine of the stream before and after", ("position",), _cosine, _cosine_value),
            "dot": Rule("stream before · stream after", ("position",), _dot, _dot_value),
        }.items()
    },
}
