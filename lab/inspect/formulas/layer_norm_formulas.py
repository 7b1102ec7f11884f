"""Formulas of LayerNorm: mean, variance and scale of the residual stream, and each dimension (Ba et al. 2016)."""

import math
from dataclasses import replace

from torch import Tensor

from lab.inspect.formulas.quantities import Answer, NumberLocation, Quantities, Rule, bracketed, number
from lab.views.number_refs import product
from models.gpt import EPSILON


def _norm(location: NumberLocation) -> str:
    """The norm's name: `ln_final`, `blocks.0.ln1`."""
    return location.block + location.name.partition(".")[0]


def _weights(location: NumberLocation) -> str:
    return "ln_f" if location.layer is None else f"h.{location.layer}.ln_{_norm(location)[-1]}"


def _source(quantities: Quantities, location: NumberLocation) -> str:
    """The residual stream that the norm is applied to."""
    if location.layer is None:
        return f"blocks.{quantities.config.layers - 1}.resid_post"
    return location.block + ("resid_pre" if location.name.startswith("ln1") else "resid_mid")


def _input(quantities: Quantities, location: NumberLocation) -> Tensor:
    return quantities.trace[_source(quantities, location)][location.index[0]].double()


def _out(quantities: Quantities, location: NumberLocation) -> Answer:
    position, i = location.index
    normalized, gain, bias = operands = [
        quantities.operand("(x − mean) / scale", f"{_norm(location)}.normalized[{position},{i}]"),
        quantities.operand("gain", f"{_weights(location)}.weight[{i}]"),
        quantities.operand("bias", f"{_weights(location)}.bias[{i}]"),
    ]
    written = f"{number(normalized.value)} × {bracketed(gain.value)} + {bracketed(bias.value)}"
    return Answer("(x − mean) / scale × gain + bias", written, operands, normalized.value * gain.value + bias.value)


def _normalized(quantities: Quantities, location: NumberLocation) -> Answer:
    position, i = location.index
    centred = quantities.operand("x − mean", f"{_norm(location)}.centred[{position},{i}]")
    scale = quantities.operand("scale, √(variance + ε)", f"{_norm(location)}.scale[{position}]")
    written = f"{number(centred.value)} / {number(scale.value)}"
    return Answer("(x − mean) / scale", written, [centred, scale], centred.value / scale.value)


def _centred(quantities: Quantities, location: NumberLocation) -> Answer:
    position, i = location.index
    x = quantities.operand("x, the residual stream", f"{_source(quantities, location)}[{position},{i}]")
    mean = quantities.operand("mean of x", f"{_norm(location)}.mean[{position}]")
    return Answer("x − mean", f"{number(x.value)} − {bracketed(mean.value)}", [x, mean], x.value - mean.value)


def _centred_value(quantities: Quantities, location: NumberLocation) -> float:
    x = _input(quantities, location)
    return float(x[location.index[1]] - x.mean())


def _scale(quantities: Quantities, location: NumberLocation) -> Answer:
    variance = quantities.operand("variance of x", f"{_norm(location)}.variance[{location.index[0]}]")
    written = f"√({number(variance.value)} + {EPSILON:g})"
    return Answer("√(variance + ε)", written, [variance], math.sqrt(variance.value + EPSILON))


def _scale_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(quantities.trace[f"{_norm(location)}.scale"][location.index[0], 0])


def _mean(quantities: Quantities, location: NumberLocation) -> Answer:
    x, source = _input(quantities, location), _source(quantities, location)
    answer = quantities.sum("", x, lambda i: (f"x[{i + 1}]", f"{source}[{location.index[0]},{i}]"))
    return _over(answer, "Σᵢ x[i]", len(x))


def _mean_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(_input(quantities, location).mean())


def _variance(quantities: Quantities, location: NumberLocation) -> Answer:
    x = _input(quantities, location)

    def operand(i: int) -> tuple[str, str]:
        centred = f"{_norm(location)}.centred[{location.index[0]},{i}]"
        return f"(x[{i + 1}] − mean)²", product(centred, centred)

    return _over(quantities.sum("", (x - x.mean()).square(), operand), "Σᵢ (x[i] − mean)²", len(x))


def _variance_value(quantities: Quantities, location: NumberLocation) -> float:
    x = _input(quantities, location)
    return float((x - x.mean()).square().mean())


def _over(answer: Answer, formula: str, count: int) -> Answer:
    """The mean, from a sum."""
    assert answer.recomputed is not None
    written = f"({answer.numbers}) / {count}"
    return replace(answer, formula=f"{formula} / {count}", numbers=written, recomputed=answer.recomputed / count)


_RULES = {
    "out": Rule("after {}", ("position", "dimension"), _out),
    "normalized": Rule("(x − mean) / scale in {}", ("position", "dimension"), _normalized),
    "centred": Rule("x − mean in {}", ("position", "dimension"), _centred, _centred_value),
    "scale": Rule("scale of {}", ("position",), _scale, _scale_value),
    "variance": Rule("variance of the residual stream before {}", ("position",), _variance, _variance_value),
    "mean": Rule("mean of the residual stream before {}", ("position",), _mean, _mean_value),
}
_NAMES = {"blocks.N.ln1": "LayerNorm 1", "blocks.N.ln2": "LayerNorm 2", "ln_final": "the final norm"}

NORMS = {
    f"{norm}.{part}": replace(rule, title=rule.title.format(name))
    for norm, name in _NAMES.items()
    for part, rule in _RULES.items()
}
