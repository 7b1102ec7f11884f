"""Formulas of LayerNorm: mean, variance and scale of the residual stream, and each dimension (Ba et al. 2016)."""

import math
from dataclasses import replace

from torch import Tensor

from lab.inspect.formulas.quantities import Answer, NumberLocation, Quantities, Rule, bracketed, number
from lab.views.number_refs import product
from models.gpt import EPSILON


def _norm(place: NumberLocation) -> str:
    """The norm's name: `ln_final`, `blocks.0.ln1`."""
    return place.block + place.name.partition(".")[0]


def _weights(place: NumberLocation) -> str:
    return "ln_f" if place.layer is None else f"h.{place.layer}.ln_{_norm(place)[-1]}"


def _source(quantities: Quantities, place: NumberLocation) -> str:
    """The residual stream that the norm is applied to."""
    if place.layer is None:
        return f"blocks.{quantities.config.layers - 1}.resid_post"
    return place.block + ("resid_pre" if place.name.startswith("ln1") else "resid_mid")


def _input(quantities: Quantities, place: NumberLocation) -> Tensor:
    return quantities.trace[_source(quantities, place)][place.index[0]].double()


def _out(quantities: Quantities, place: NumberLocation) -> Answer:
    position, i = place.index
    normalized, gain, bias = operands = [
        quantities.operand("(x − mean) / scale", f"{_norm(place)}.normalized[{position},{i}]"),
        quantities.operand("gain", f"{_weights(place)}.weight[{i}]"),
        quantities.operand("bias", f"{_weights(place)}.bias[{i}]"),
    ]
    written = f"{number(normalized.value)} × {bracketed(gain.value)} + {bracketed(bias.value)}"
    return Answer("(x − mean) / scale × gain + bias", written, operands, normalized.value * gain.value + bias.value)


def _normalized(quantities: Quantities, place: NumberLocation) -> Answer:
    position, i = place.index
    centred = quantities.operand("x − mean", f"{_norm(place)}.centred[{position},{i}]")
    scale = quantities.operand("scale, √(variance + ε)", f"{_norm(place)}.scale[{position}]")
    written = f"{number(centred.value)} / {number(scale.value)}"
    return Answer("(x − mean) / scale", written, [centred, scale], centred.value / scale.value)


def _centred(quantities: Quantities, place: NumberLocation) -> Answer:
    position, i = place.index
    x = quantities.operand("x, the residual stream", f"{_source(quantities, place)}[{position},{i}]")
    mean = quantities.operand("mean of x", f"{_norm(place)}.mean[{position}]")
    return Answer("x − mean", f"{number(x.value)} − {bracketed(mean.value)}", [x, mean], x.value - mean.value)


def _centred_value(quantities: Quantities, place: NumberLocation) -> float:
    x = _input(quantities, place)
    return float(x[place.index[1]] - x.mean())


def _scale(quantities: Quantities, place: NumberLocation) -> Answer:
    variance = quantities.operand("variance of x", f"{_norm(place)}.variance[{place.index[0]}]")
    written = f"√({number(variance.value)} + {EPSILON:g})"
    return Answer("√(variance + ε)", written, [variance], math.sqrt(variance.value + EPSILON))


def _scale_value(quantities: Quantities, place: NumberLocation) -> float:
    return float(quantities.trace[f"{_norm(place)}.scale"][place.index[0], 0])


def _mean(quantities: Quantities, place: NumberLocation) -> Answer:
    x, source = _input(quantities, place), _source(quantities, place)
    answer = quantities.sum("", x, lambda i: (f"x[{i + 1}]", f"{source}[{place.index[0]},{i}]"))
    return _over(answer, "Σᵢ x[i]", len(x))


def _mean_value(quantities: Quantities, place: NumberLocation) -> float:
    return float(_input(quantities, place).mean())


def _variance(quantities: Quantities, place: NumberLocation) -> Answer:
    x = _input(quantities, place)

    def operand(i: int) -> tuple[str, str]:
        centred = f"{_norm(place)}.centred[{place.index[0]},{i}]"
        return f"(x[{i + 1}] − mean)²", product(centred, centred)

    return _over(quantities.sum("", (x - x.mean()).square(), operand), "Σᵢ (x[i] − mean)²", len(x))


def _variance_value(quantities: Quantities, place: NumberLocation) -> float:
    x = _input(quantities, place)
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
