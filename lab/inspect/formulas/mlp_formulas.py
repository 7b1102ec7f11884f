"""Formulas of the MLP: its neurons, their outputs in the residual stream, and their effect on logits."""

import math

from lab.inspect.formulas.quantities import Answer, NumberLocation, Quantities, Rule, bracketed, linear, number

NEURON = ("position", "neuron")


def _pre(quantities: Quantities, location: NumberLocation) -> Answer:
    position, neuron = location.index
    return linear(quantities, location, position, f"h.{location.layer}.mlp.c_fc", neuron, "ln2.out", "W_in")


def _post(quantities: Quantities, location: NumberLocation) -> Answer:
    position, neuron = location.index
    x = quantities.operand("x, before GELU", f"{location.block}mlp.pre[{position},{neuron}]")
    inner = math.sqrt(2 / math.pi) * (x.value + 0.044715 * x.value**3)
    text = bracketed(x.value)
    return Answer(
        "x/2 × (1 + tanh(√(2/π) × (x + 0.044715 x³)))",
        f"{text}/2 × (1 + tanh(0.7979 × ({text} + 0.044715 × {text}³)))",
        [x],
        0.5 * x.value * (1 + math.tanh(inner)),
    )


def _out(quantities: Quantities, location: NumberLocation) -> Answer:
    position, i = location.index
    return linear(quantities, location, position, f"h.{location.layer}.mlp.c_proj", i, "mlp.post", "W_out")


def _neuron_out(quantities: Quantities, location: NumberLocation) -> Answer:
    position, neuron, i = location.index
    post = quantities.operand("neuron after GELU", f"{location.block}mlp.post[{position},{neuron}]")
    weight = quantities.operand("W_out", f"h.{location.layer}.mlp.c_proj.weight[{i},{neuron}]")
    written = f"{number(post.value)} × {bracketed(weight.value)}"
    return Answer("GELU(x) × W_out", written, [post, weight], post.value * weight.value)


def _neuron_out_value(quantities: Quantities, location: NumberLocation) -> float:
    position, neuron, i = location.index
    weight = quantities.weights[f"h.{location.layer}.mlp.c_proj.weight"]
    return float(quantities.trace[f"{location.block}mlp.post"][position, neuron]) * float(weight[i, neuron])


def _logit_effect(quantities: Quantities, location: NumberLocation) -> Answer:
    position, neuron, token = location.index
    post, effect, scale = operands = [
        quantities.operand("neuron after GELU", f"{location.block}mlp.post[{position},{neuron}]"),
        quantities.operand("effect of the neuron's vector", f"{location.block}mlp.vector_effect[{neuron},{token}]"),
        quantities.operand("scale of the final norm", f"ln_final.scale[{position}]"),
    ]
    written = f"{number(post.value)} × {bracketed(effect.value)} / {number(scale.value)}"
    return Answer("GELU(x) × effect / scale", written, operands, post.value * effect.value / scale.value)


def _logit_effect_value(quantities: Quantities, location: NumberLocation) -> float:
    position, neuron, token = location.index
    post = float(quantities.trace[f"{location.block}mlp.post"][position, neuron])
    return post * _effect_of(quantities, location, neuron, token) / float(quantities.trace["ln_final.scale"][position, 0])


def _effect_of(quantities: Quantities, location: NumberLocation, neuron: int, token: int) -> float:
    vector = quantities.weights[f"h.{location.layer}.mlp.c_proj.weight"][:, neuron].double()
    gain, embedding = quantities.weights["ln_f.weight"].double(), quantities.weights["wte.weight"][token].double()
    return float(((vector - vector.mean()) * gain) @ embedding)


def _vector_effect(quantities: Quantities, location: NumberLocation) -> Answer:
    neuron, token = location.index
    vector = quantities.weights[f"h.{location.layer}.mlp.c_proj.weight"][:, neuron].double()
    return quantities.dot(
        "Σᵢ neuron's vector[i] through the final norm's gain × token's embedding[i]",
        (vector - vector.mean()) * quantities.weights["ln_f.weight"].double(),
        lambda i: f"{location.block}mlp.vector_through_norm[{neuron},{i}]",
        quantities.weights["wte.weight"][token],
        lambda i: f"wte.weight[{token},{i}]",
        "dimension",
    )


def _vector_effect_value(quantities: Quantities, location: NumberLocation) -> float:
    return _effect_of(quantities, location, *location.index)


def _vector_through_norm(quantities: Quantities, location: NumberLocation) -> Answer:
    neuron, i = location.index
    weight, mean, gain = operands = [
        quantities.operand("W_out", f"h.{location.layer}.mlp.c_proj.weight[{i},{neuron}]"),
        quantities.operand("mean of the neuron's vector", f"{location.block}mlp.vector_mean[{neuron}]"),
        quantities.operand("gain of the final norm", f"ln_f.weight[{i}]"),
    ]
    written = f"({number(weight.value)} − {bracketed(mean.value)}) × {bracketed(gain.value)}"
    return Answer("(W_out − mean) × gain", written, operands, (weight.value - mean.value) * gain.value)


def _vector_through_norm_value(quantities: Quantities, location: NumberLocation) -> float:
    neuron, i = location.index
    vector = quantities.weights[f"h.{location.layer}.mlp.c_proj.weight"][:, neuron].double()
    return float((vector[i] - vector.mean()) * quantities.weights["ln_f.weight"][i].double())


def _vector_mean(quantities: Quantities, location: NumberLocation) -> Answer:
    (neuron,) = location.index
    name = f"h.{location.layer}.mlp.c_proj.weight"
    vector = quantities.weights[name][:, neuron]
    answer = quantities.sum("", vector, lambda i: (f"dimension {i + 1}", f"{name}[{i},{neuron}]"))
    assert answer.recomputed is not None
    count = len(vector)
    written = f"({answer.numbers}) / {count}"
    return Answer(f"Σᵢ W_out[i] / {count}", written, answer.operands, answer.recomputed / count)


def _vector_mean_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(quantities.weights[f"h.{location.layer}.mlp.c_proj.weight"][:, location.index[0]].double().mean())


MLP = {
    "blocks.N.mlp.pre": Rule("neuron before GELU", NEURON, _pre),
    "blocks.N.mlp.post": Rule("neuron after GELU", NEURON, _post),
    "blocks.N.mlp_out": Rule("MLP output", ("position", "dimension"), _out),
    "blocks.N.mlp.neuron_out": Rule("output of a neuron", (*NEURON, "dimension"), _neuron_out, _neuron_out_value),
    "blocks.N.mlp.logit_effect": Rule("effect of a neuron on a logit", (*NEURON, "token"), _logit_effect, _logit_effect_value),
    "blocks.N.mlp.vector_effect": Rule("effect of a neuron's vector", ("neuron", "token"), _vector_effect, _vector_effect_value),
    "blocks.N.mlp.vector_through_norm": Rule(
        "neuron's vector through the final norm's gain", ("neuron", "dimension"), _vector_through_norm, _vector_through_norm_value
    ),
    "blocks.N.mlp.vector_mean": Rule("mean of a neuron's vector", ("neuron",), _vector_mean, _vector_mean_value),
}
