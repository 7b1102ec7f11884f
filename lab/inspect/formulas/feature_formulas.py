"""Formulas of the features of a stream: how active each is at a token, and its share of the stream there."""

from dataclasses import replace

from torch import Tensor

from lab.inspect.formulas.quantities import Answer, NumberLocation, Quantities, Rule, UnknownNumberError, times, work_out
from lab.views.number_explanation import Operand
from models.sparse_autoencoder import SparseAutoencoder


def _at(numbers: Quantities, at: NumberLocation) -> tuple[SparseAutoencoder, Tensor]:
    """The fit, and the stream (C,) at the position less the bias."""
    if at.layer not in (fits := numbers.context_at(at.index[0]).opened.features):
        raise UnknownNumberError(f"{at.ref} is of features that are not there.")
    return fits[at.layer], numbers.vector(f"{at.block}resid_post", at.index[0]).values.double() - fits[at.layer].bias


def _activation(numbers: Quantities, at: NumberLocation) -> Answer:
    (found, centred), of = _at(numbers, at), at.index[1]
    weights, bias = found.encoder[of].double(), Operand("encoder bias", float(found.encoder_bias[of]))

    def factors(i: int) -> str:
        return times(float(weights[i]), float(centred[i]))

    formula = "ReLU(Σᵢ encoder[i] × (stream[i] − bias[i]) + encoder bias)"
    answer = numbers.sum(formula, weights * centred, lambda i: (f"dimension {i + 1}", ""), [bias], factors)
    return replace(answer, numbers=f"ReLU({answer.numbers})", recomputed=max(0.0, answer.recomputed or 0.0))


def _share(numbers: Quantities, at: NumberLocation) -> Answer:
    found, centred = _at(numbers, at)
    activation = numbers.operand("activation", at.ref.replace("share", "activation"))
    along = Operand("direction · (stream − bias)", float(found.decoder[at.index[1]].double() @ centred))
    squared = Operand("|stream − bias|²", float(centred.square().sum()))
    formula = "activation × direction · (stream − bias) / |stream − bias|²"
    return work_out(formula, "{} × {:()} / {}", [activation, along, squared], lambda a, b, c: a * b / c)


def _error(numbers: Quantities, at: NumberLocation) -> Answer:
    found, centred = _at(numbers, at)
    values, chosen = found.encode((centred + found.bias).float()[None])
    refs = {f"feature {each}": f"{at.block}feature.share[{at.index[0]},{each}]" for each in chosen[values > 0].tolist()}
    shares = [numbers.operand(*each) for each in refs.items()]
    note = "Below 0 where the features together are longer than the stream, along it: the error then points against it."
    return work_out("1 − Σ shares", "1 − (" + " + ".join(["{}"] * len(shares)) + ")", shares, lambda *all_: 1 - sum(all_), note)


FEATURES = {
    "blocks.N.feature.activation": Rule("activation of a feature", ("position", "feature"), _activation),
    "blocks.N.feature.share": Rule("share of a feature", ("position", "feature"), _share),
    "blocks.N.feature.error": Rule("share of the features' error", ("position",), _error),
}
