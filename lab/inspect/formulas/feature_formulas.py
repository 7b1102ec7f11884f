"""Formulas of the features of a stream: how active each is at a token, and its share of the stream there."""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from lab.inspect.formulas.quantities import (
    Answer,
    NumberLocation,
    Quantities,
    Rule,
    UnknownNumberError,
    Vector,
    number,
    worked_out,
)
from models.sparse_autoencoder import SparseAutoencoder

FITTED = "Fitted to the stream at places of the training text; the prompt does not change it."


def _found(numbers: Quantities, at: NumberLocation) -> SparseAutoencoder:
    if at.layer not in (found := numbers.context_at(0).opened.features):
        raise UnknownNumberError(f"{at.ref} is of features that are not there.")
    return found[at.layer]


def _fitted(title: str, axes: tuple[str, ...], of: Callable[[SparseAutoencoder], Tensor]) -> Rule:
    leaf = Answer("", "", [], None, FITTED)
    return Rule(title, axes, lambda _, __: leaf, lambda numbers, at: float(of(_found(numbers, at))[at.index]))


def _dot(numbers: Quantities, at: NumberLocation, formula: str, part: str, weights: Tensor, *more: str) -> Answer:
    """Of a feature's weights and the stream less the bias, at the position and of the feature that the location names."""
    position, feature = at.index
    bias, stream = _found(numbers, at).bias, numbers.vector(f"{at.block}resid_post", position).values
    of_feature = Vector(weights[feature], lambda i: f"{at.block}feature.{part}[{feature},{i}]")
    centred = Vector(stream.double() - bias, lambda i: f"{at.block}feature.centred[{position},{i}]")
    extra = [numbers.operand("encoder bias", f"{at.block}feature.{each}[{feature}]") for each in more]
    return numbers.dot(formula, of_feature, centred, extra=extra)


def _activation(numbers: Quantities, at: NumberLocation) -> Answer:
    formula = "ReLU(Σᵢ encoder[i] × (stream[i] − bias[i]) + encoder bias)"
    answer = _dot(numbers, at, formula, "encoder", _found(numbers, at).encoder, "encoder_bias")
    return replace(answer, numbers=f"ReLU({answer.numbers})", recomputed=max(0.0, answer.recomputed or 0.0))


def _along(numbers: Quantities, at: NumberLocation) -> Answer:
    formula = "Σᵢ direction[i] × (stream[i] − bias[i])"
    return _dot(numbers, at, formula, "direction", _found(numbers, at).decoder)


def _error(numbers: Quantities, at: NumberLocation) -> Answer:
    (position,) = at.index
    values, chosen = _found(numbers, at).encode(numbers.vector(f"{at.block}resid_post", position).values[None])
    names = {f"feature {each}": f"{at.block}feature.share[{position},{each}]" for each in chosen[values > 0].tolist()}
    shares = [numbers.operand(*each) for each in names.items()]
    written = " + ".join(number(each.value) for each in shares).replace("+ −", "− ")
    note = "Below 0 where the features together are longer than the stream, along it: the error then points against it."
    return Answer(SHARES_LEFT, f"1 − ({written})", shares, 1 - sum(each.value for each in shares), note, is_sum=True)


SHARES_LEFT = "1 − Σ shares of the active features"

FEATURES = {
    "blocks.N.feature.encoder": _fitted("a feature's encoder", ("feature", "dimension"), lambda found: found.encoder),
    "blocks.N.feature.direction": _fitted("a feature's direction", ("feature", "dimension"), lambda found: found.decoder),
    "blocks.N.feature.encoder_bias": _fitted("a feature's encoder bias", ("feature",), lambda found: found.encoder_bias),
    "blocks.N.feature.bias": _fitted("the features' bias", ("dimension",), lambda found: found.bias),
    "blocks.N.feature.centred": Rule(
        "the stream less the features' bias",
        ("position", "dimension"),
        worked_out(
            "stream − bias",
            "{} − {:()}",
            lambda stream, bias: stream - bias,
            ("stream", "{block}resid_post[{0},{1}]"),
            ("bias", "{of}.bias[{1}]"),
        ),
    ),
    "blocks.N.feature.activation": Rule("activation of a feature", ("position", "feature"), _activation),
    "blocks.N.feature.along": Rule("a feature's direction times the stream", ("position", "feature"), _along),
    "blocks.N.feature.share": Rule(
        "share of a feature",
        ("position", "feature"),
        worked_out(
            "activation × direction · (stream − bias) / |stream − bias|²",
            "{} × {:()} / {}²",
            lambda activation, along, length: activation * along / length**2,
            ("activation", "{of}.activation[{0},{1}]"),
            ("direction · (stream − bias)", "{of}.along[{0},{1}]"),
            ("|stream − bias|", "{of}.centred.norm[{0}]"),
        ),
    ),
    "blocks.N.feature.error": Rule("share of the features' error", ("position",), _error),
}
