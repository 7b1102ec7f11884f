"""Direct logit attribution, number by number: what one part of the model adds to a token's logit (see `lab.attribution`).

Parts are counted in the order of the computation: token embedding, position embedding; of each layer its heads, attention's bias,
the MLP without its bias, the MLP's bias; last the final norm's bias.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from lab.explanation import Operand
from lab.quantities import Answer, Place, Quantities, Rule, UnknownNumberError, bracketed, number, times
from models.config import ModelConfig

HELD = "The final norm's scale is held at what it is here, so that the shares of all parts add up to the logit."


class Part(NamedTuple):
    """What one part wrote into the residual stream at a position."""

    label: str
    vector: Tensor
    """(C,), float64."""
    ref: Callable[[int], str]


def part_name(config: ModelConfig, index: int) -> str:
    """`layer 2 head 1`, `layer 4 mlp`, `final norm's bias`: the part of that index."""
    if index < 2:
        return ("token embedding", "position embedding")[index]
    layer, inside = divmod(index - 2, config.heads + 3)
    if layer >= config.layers:
        return "final norm's bias"
    names = [*(f"head {head + 1}" for head in range(config.heads)), "attention bias", "mlp", "mlp bias"]
    return f"layer {layer + 1} {names[inside]}"


def part_of(quantities: Quantities, position: int, index: int) -> Part | None:
    """The part of that index, None for the final norm's bias. Raises UnknownNumberError where there are not so many."""
    trace, heads, label = quantities.trace, quantities.config.heads, part_name(quantities.config, index)
    if index < 2:
        name = ("embed", "pos_embed")[index]
        return Part(label, trace[name][position].double(), lambda i: f"{name}[{position},{i}]")
    layer, inside = divmod(index - 2, heads + 3)
    if layer == quantities.config.layers and inside == 0:
        return None
    if layer >= quantities.config.layers:
        raise UnknownNumberError(f"This model has no part {index + 1}.")
    block = f"blocks.{layer}."
    if inside < heads:
        vector = quantities.heads(layer, position)[inside]
        return Part(label, vector, lambda i: f"{block}attn.head_out[{inside},{position},{i}]")
    mlp_bias = f"h.{layer}.mlp.c_proj.bias"
    if inside == heads + 1:
        vector = trace[f"{block}mlp_out"][position].double() - quantities.weights[mlp_bias].double()
        return Part(label, vector, lambda i: f"{block}mlp_out.unbiased[{position},{i}]")
    name = f"h.{layer}.attn.c_proj.bias" if inside == heads else mlp_bias
    return Part(label, quantities.weights[name].double(), lambda i: f"{name}[{i}]")


def _seen(quantities: Quantities, position: int, token: int) -> Tensor:
    """gain × the token's embedding / scale, (C,): what a part's centred numbers are multiplied with."""
    gain, embedding = quantities.weights["ln_f.weight"].double(), quantities.weights["wte.weight"][token].double()
    return gain * embedding / float(quantities.trace["ln_final.scale"][position, 0])


def _terms(quantities: Quantities, place: Place) -> Tensor:
    position, index, token = place.index[:3]
    part = part_of(quantities, position, index)
    if part is None:
        return quantities.weights["ln_f.bias"].double() * quantities.weights["wte.weight"][token].double()
    return (part.vector - part.vector.mean()) * _seen(quantities, position, token)


def _share(quantities: Quantities, place: Place) -> Answer:
    position, index, token = place.index
    part = part_of(quantities, position, index)
    if part is None:
        bias, embedding = quantities.weights["ln_f.bias"], quantities.weights["wte.weight"][token]
        return quantities.dot(
            "Σᵢ final norm's bias[i] × token's embedding[i]",
            bias,
            lambda i: f"ln_f.bias[{i}]",
            embedding,
            lambda i: f"wte.weight[{token},{i}]",
            "dimension",
        )
    centred, seen = part.vector - part.vector.mean(), _seen(quantities, position, token)
    answer = quantities.sum(
        f"Σᵢ ({part.label}[i] − its mean) × (gain[i] × token's embedding[i] / scale)",
        centred * seen,
        lambda i: (f"dimension {i + 1}", f"logits.share.term[{position},{index},{token},{i}]"),
        factors=lambda i: times(float(centred[i]), float(seen[i])),
    )
    return Answer(answer.formula, answer.numbers, answer.operands, answer.recomputed, HELD, is_sum=True)


def _share_value(quantities: Quantities, place: Place) -> float:
    return float(_terms(quantities, place).sum())


def _term(quantities: Quantities, place: Place) -> Answer:
    position, index, token, i = place.index
    part = part_of(quantities, position, index)
    if part is None:
        raise UnknownNumberError(f"{place.ref} is no number of its own.")
    x, mean, gain, embedding, scale = operands = [
        quantities.operand(f"{part.label}, dimension {i + 1}", part.ref(i)),
        quantities.operand("mean of the part's numbers", f"logits.share.mean[{position},{index}]"),
        quantities.operand("gain of the final norm", f"ln_f.weight[{i}]"),
        quantities.operand("token's embedding", f"wte.weight[{token},{i}]"),
        quantities.operand("scale of the final norm", f"ln_final.scale[{position}]"),
    ]
    written = f"({number(x.value)} − {bracketed(mean.value)}) × {bracketed(gain.value)} × {bracketed(embedding.value)}"
    recomputed = (x.value - mean.value) * gain.value * embedding.value / scale.value
    formula = "(part[i] − mean) × gain[i] × token's embedding[i] / scale"
    return Answer(formula, f"{written} / {number(scale.value)}", operands, recomputed)


def _term_value(quantities: Quantities, place: Place) -> float:
    return float(_terms(quantities, place)[place.index[3]])


def _mean(quantities: Quantities, place: Place) -> Answer:
    position, index = place.index
    part = part_of(quantities, position, index)
    if part is None:
        raise UnknownNumberError(f"{place.ref} is no number of its own.")
    width = quantities.config.width
    answer = quantities.sum(
        f"Σᵢ {part.label}[i] / {width}", part.vector, lambda i: (f"dimension {i + 1}", part.ref(i)), factors=lambda i: ""
    )
    assert answer.recomputed is not None
    return Answer(answer.formula, f"({answer.numbers}) / {width}", answer.operands, answer.recomputed / width, is_sum=True)


def _mean_value(quantities: Quantities, place: Place) -> float:
    part = part_of(quantities, *place.index)
    if part is None:
        raise UnknownNumberError(f"{place.ref} is no number of its own.")
    return float(part.vector.mean())


def _share_over(quantities: Quantities, place: Place) -> Answer:
    position, index, token, other = place.index
    shares = [
        quantities.operand(f"share in the logit of “{quantities.label(each)}”", f"logits.share[{position},{index},{each}]")
        for each in (token, other)
    ]
    return _difference("share in the one logit − share in the other", *shares)


def _share_over_value(quantities: Quantities, place: Place) -> float:
    position, index, token, other = place.index
    one, two = (quantities.value(f"logits.share[{position},{index},{each}]") for each in (token, other))
    return one - two


def _over(quantities: Quantities, place: Place) -> Answer:
    position, token, other = place.index
    logits = [quantities.operand(f"logit of “{quantities.label(each)}”", f"logits[{position},{each}]") for each in (token, other)]
    return _difference("the one logit − the other", *logits)


def _over_value(quantities: Quantities, place: Place) -> float:
    position, token, other = place.index
    return quantities.value(f"logits[{position},{token}]") - quantities.value(f"logits[{position},{other}]")


def _difference(formula: str, one: Operand, two: Operand) -> Answer:
    written = f"{number(one.value)} − {bracketed(two.value)}"
    return Answer(formula, written, [one, two], one.value - two.value)


def _unbiased(quantities: Quantities, place: Place) -> Answer:
    position, i = place.index
    out = quantities.operand("the MLP's output", f"{place.block}mlp_out[{position},{i}]")
    bias = quantities.operand("its bias", f"h.{place.layer}.mlp.c_proj.bias[{i}]")
    return _difference("the MLP's output − its bias", out, bias)


def _unbiased_value(quantities: Quantities, place: Place) -> float:
    position, i = place.index
    out = quantities.trace[f"{place.block}mlp_out"][position, i]
    return float(out) - float(quantities.weights[f"h.{place.layer}.mlp.c_proj.bias"][i])


SHARES = {
    "logits.share": Rule("a part's share in the logit", ("position", "part", "token"), _share, _share_value),
    "logits.share.term": Rule("one dimension of a part's share", ("position", "part", "token", "dimension"), _term, _term_value),
    "logits.share.mean": Rule("mean of what a part wrote", ("position", "part"), _mean, _mean_value),
    "logits.share.over": Rule(
        "a part's share in the difference of two logits", ("position", "part", "token", "token"), _share_over, _share_over_value
    ),
    "logits.over": Rule("difference of two logits", ("position", "token", "token"), _over, _over_value),
    "blocks.N.mlp_out.unbiased": Rule("the MLP's output without its bias", ("position", "dimension"), _unbiased, _unbiased_value),
}
