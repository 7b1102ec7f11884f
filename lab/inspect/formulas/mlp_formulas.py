"""Formulas of the MLP: its neurons, their outputs in the residual stream, and their effect on logits."""

import math
from dataclasses import replace

from torch import Tensor

from lab.inspect.formulas.quantities import Answer, NumberLocation, Quantities, Rule, Vector, bracketed, linear, mean, number

NEURON = ("position", "neuron")


def _pre(numbers: Quantities, at: NumberLocation) -> Answer:
    return linear(numbers, at, f"h.{at.layer}.mlp.c_fc", at.index[1], "ln2.out", "W_in")


def _post(numbers: Quantities, at: NumberLocation) -> Answer:
    position, neuron = at.index
    x = numbers.operand("x, before GELU", f"{at.block}mlp.pre[{position},{neuron}]")
    inner = math.sqrt(2 / math.pi) * (x.value + 0.044715 * x.value**3)
    text = bracketed(x.value)
    return Answer(
        "x/2 × (1 + tanh(√(2/π) × (x + 0.044715 x³)))",
        f"{text}/2 × (1 + tanh(0.7979 × ({text} + 0.044715 × {text}³)))",
        [x],
        0.5 * x.value * (1 + math.tanh(inner)),
    )


def _out(numbers: Quantities, at: NumberLocation) -> Answer:
    return linear(numbers, at, f"h.{at.layer}.mlp.c_proj", at.index[1], "mlp.post", "W_out")


def _neuron_out(numbers: Quantities, at: NumberLocation) -> Answer:
    position, neuron, i = at.index
    post = numbers.operand("neuron after GELU", f"{at.block}mlp.post[{position},{neuron}]")
    weight = numbers.operand("W_out", f"h.{at.layer}.mlp.c_proj.weight[{i},{neuron}]")
    written = f"{number(post.value)} × {bracketed(weight.value)}"
    return Answer("GELU(x) × W_out", written, [post, weight], post.value * weight.value)


def _neuron_out_value(numbers: Quantities, at: NumberLocation) -> float:
    position, neuron, i = at.index
    weight = numbers.weights[f"h.{at.layer}.mlp.c_proj.weight"]
    return float(numbers.trace[f"{at.block}mlp.post"][position, neuron]) * float(weight[i, neuron])


def _logit_effect(numbers: Quantities, at: NumberLocation) -> Answer:
    position, neuron, token = at.index
    post, effect, scale = operands = [
        numbers.operand("neuron after GELU", f"{at.block}mlp.post[{position},{neuron}]"),
        numbers.operand("effect of the neuron's vector", f"{at.block}mlp.vector_effect[{neuron},{token}]"),
        numbers.operand("scale of the final norm", f"ln_final.scale[{position}]"),
    ]
    written = f"{number(post.value)} × {bracketed(effect.value)} / {number(scale.value)}"
    return Answer("GELU(x) × effect / scale", written, operands, post.value * effect.value / scale.value)


def _logit_effect_value(numbers: Quantities, at: NumberLocation) -> float:
    position, neuron, token = at.index
    post = float(numbers.trace[f"{at.block}mlp.post"][position, neuron])
    return post * _effect_of(numbers, at, neuron, token) / float(numbers.trace["ln_final.scale"][position, 0])


def _vector(numbers: Quantities, at: NumberLocation, neuron: int) -> Tensor:
    """The neuron's vector, (C,), float64: its column of W_out."""
    return numbers.weights[f"h.{at.layer}.mlp.c_proj.weight"][:, neuron].double()


def _effect_of(numbers: Quantities, at: NumberLocation, neuron: int, token: int) -> float:
    vector, gain = _vector(numbers, at, neuron), numbers.weights["ln_f.weight"].double()
    return float(((vector - vector.mean()) * gain) @ numbers.weights["wte.weight"][token].double())


def _vector_effect(numbers: Quantities, at: NumberLocation) -> Answer:
    neuron, token = at.index
    vector = _vector(numbers, at, neuron)
    passed = Vector(
        (vector - vector.mean()) * numbers.weights["ln_f.weight"].double(),
        lambda i: f"{at.block}mlp.vector_through_norm[{neuron},{i}]",
    )
    formula = "Σᵢ neuron's vector[i] through the final norm's gain × token's embedding[i]"
    return numbers.dot(formula, passed, numbers.vector("wte.weight", token))


def _vector_through_norm(numbers: Quantities, at: NumberLocation) -> Answer:
    neuron, i = at.index
    weight, mean, gain = operands = [
        numbers.operand("W_out", f"h.{at.layer}.mlp.c_proj.weight[{i},{neuron}]"),
        numbers.operand("mean of the neuron's vector", f"{at.block}mlp.vector_mean[{neuron}]"),
        numbers.operand("gain of the final norm", f"ln_f.weight[{i}]"),
    ]
    written = f"({number(weight.value)} − {bracketed(mean.value)}) × {bracketed(gain.value)}"
    return Answer("(W_out − mean) × gain", written, operands, (weight.value - mean.value) * gain.value)


def _vector_through_norm_value(numbers: Quantities, at: NumberLocation) -> float:
    neuron, i = at.index
    vector = _vector(numbers, at, neuron)
    return float((vector[i] - vector.mean()) * numbers.weights["ln_f.weight"][i].double())


def _vector_mean(numbers: Quantities, at: NumberLocation) -> Answer:
    (neuron,) = at.index
    vector = _vector(numbers, at, neuron)
    name = f"h.{at.layer}.mlp.c_proj.weight"
    answer = mean(numbers.sum("", vector, lambda i: (f"dimension {i + 1}", f"{name}[{i},{neuron}]")), "Σᵢ W_out[i]", len(vector))
    return replace(answer, is_sum=False)


MLP = {
    "blocks.N.mlp.pre": Rule("neuron before GELU", NEURON, _pre),
    "blocks.N.mlp.post": Rule("neuron after GELU", NEURON, _post),
    "blocks.N.mlp_out": Rule("MLP output", ("position", "dimension"), _out),
    "blocks.N.mlp.neuron_out": Rule("output of a neuron", (*NEURON, "dimension"), _neuron_out, _neuron_out_value),
    "blocks.N.mlp.logit_effect": Rule("effect of a neuron on a logit", (*NEURON, "token"), _logit_effect, _logit_effect_value),
    "blocks.N.mlp.vector_effect": Rule(
        "effect of a neuron's vector", ("neuron", "token"), _vector_effect, lambda numbers, at: _effect_of(numbers, at, *at.index)
    ),
    "blocks.N.mlp.vector_through_norm": Rule(
        "neuron's vector through the final norm's gain", ("neuron", "dimension"), _vector_through_norm, _vector_through_norm_value
    ),
    "blocks.N.mlp.vector_mean": Rule(
        "mean of a neuron's vector",
        ("neuron",),
        _vector_mean,
        lambda numbers, at: float(_vector(numbers, at, at.index[0]).mean()),
    ),
}
