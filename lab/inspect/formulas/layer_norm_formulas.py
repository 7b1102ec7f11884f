"""Formulas of LayerNorm: mean, variance and scale of the residual stream, and each dimension (Ba et al. 2016)."""

import math
from dataclasses import replace

from torch import Tensor

from lab.inspect.formulas.quantities import Answer, NumberLocation, Quantities, Rule, bracketed, mean, number
from lab.views.number_refs import product
from models.gpt import EPSILON


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


def _input(numbers: Quantities, at: NumberLocation) -> Tensor:
    return numbers.trace[_source(numbers, at)][at.index[0]].double()


def _out(numbers: Quantities, at: NumberLocation) -> Answer:
    position, i = at.index
    normalized, gain, bias = operands = [
        numbers.operand("(x − mean) / scale", f"{_norm(at)}.normalized[{position},{i}]"),
        numbers.operand("gain", f"{_weights(at)}.weight[{i}]"),
        numbers.operand("bias", f"{_weights(at)}.bias[{i}]"),
    ]
    written = f"{number(normalized.value)} × {bracketed(gain.value)} + {bracketed(bias.value)}"
    return Answer("(x − mean) / scale × gain + bias", written, operands, normalized.value * gain.value + bias.value)


def _normalized(numbers: Quantities, at: NumberLocation) -> Answer:
    position, i = at.index
    centred = numbers.operand("x − mean", f"{_norm(at)}.centred[{position},{i}]")
    scale = numbers.operand("scale, √(variance + ε)", f"{_norm(at)}.scale[{position}]")
    written = f"{number(centred.value)} / {number(scale.value)}"
    return Answer("(x − mean) / scale", written, [centred, scale], centred.value / scale.value)


def _centred(numbers: Quantities, at: NumberLocation) -> Answer:
    position, i = at.index
    x = numbers.operand("x, the residual stream", f"{_source(numbers, at)}[{position},{i}]")
    mean_of_x = numbers.operand("mean of x", f"{_norm(at)}.mean[{position}]")
    return Answer("x − mean", f"{number(x.value)} − {bracketed(mean_of_x.value)}", [x, mean_of_x], x.value - mean_of_x.value)


def _centred_value(numbers: Quantities, at: NumberLocation) -> float:
    x = _input(numbers, at)
    return float(x[at.index[1]] - x.mean())


def _scale(numbers: Quantities, at: NumberLocation) -> Answer:
    variance = numbers.operand("variance of x", f"{_norm(at)}.variance[{at.index[0]}]")
    written = f"√({number(variance.value)} + {EPSILON:g})"
    return Answer("√(variance + ε)", written, [variance], math.sqrt(variance.value + EPSILON))


def _mean(numbers: Quantities, at: NumberLocation) -> Answer:
    x, source = _input(numbers, at), _source(numbers, at)
    answer = numbers.sum("", x, lambda i: (f"x[{i + 1}]", f"{source}[{at.index[0]},{i}]"))
    return mean(answer, "Σᵢ x[i]", len(x))


def _variance(numbers: Quantities, at: NumberLocation) -> Answer:
    x = _input(numbers, at)

    def operand(i: int) -> tuple[str, str]:
        centred = f"{_norm(at)}.centred[{at.index[0]},{i}]"
        return f"(x[{i + 1}] − mean)²", product(centred, centred)

    return mean(numbers.sum("", (x - x.mean()).square(), operand), "Σᵢ (x[i] − mean)²", len(x))


def _variance_value(numbers: Quantities, at: NumberLocation) -> float:
    x = _input(numbers, at)
    return float((x - x.mean()).square().mean())


_RULES = {
    "out": Rule("after {}", ("position", "dimension"), _out),
    "normalized": Rule("(x − mean) / scale in {}", ("position", "dimension"), _normalized),
    "centred": Rule("x − mean in {}", ("position", "dimension"), _centred, _centred_value),
    "scale": Rule(
        "scale of {}", ("position",), _scale, lambda numbers, at: float(numbers.trace[f"{_norm(at)}.scale"][at.index[0], 0])
    ),
    "variance": Rule("variance of the residual stream before {}", ("position",), _variance, _variance_value),
    "mean": Rule(
        "mean of the residual stream before {}", ("position",), _mean, lambda numbers, at: float(_input(numbers, at).mean())
    ),
}
_NAMES = {"blocks.N.ln1": "LayerNorm 1", "blocks.N.ln2": "LayerNorm 2", "ln_final": "the final norm"}

NORMS = {
    f"{norm}.{part}": replace(rule, title=rule.title.format(name))
    for norm, name in _NAMES.items()
    for part, rule in _RULES.items()
}
