"""An experiment on features: whether a sparse autoencoder finds the same ones again when it is fitted with another seed."""

from itertools import permutations
from statistics import fmean

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lab.core.number_format import probability, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.experiments.features import fitting_vectors
from lab.views.blocks import View
from lab.views.number_tables import by_columns, share
from models.sparse_autoencoder import SparseAutoencoder, fit

FEATURES, ACTIVE, STEPS, SEEDS = 256, 8, 600, 3
"""Of each fit: some seconds for a small model."""
TWIN = 0.9
"""Cosine from which on two directions are called twins."""
COSINES = (0.5, 0.7, 0.8, TWIN, 0.95)
MOST = 8192
"""Most vectors on which a feature has to be active once to count."""


@experiment
def feature_twins(context: ExperimentContext) -> ExperimentResult:
    """Measures the share of `features`, after the middle layer, `layer`, that have a twin in a fit with another seed: a direction
    whose cosine with theirs is above 0.9: `twins`, of all ordered pairs of three fits from `twins_low` to `twins_high`. The
    control, `chance`, at most `chance_high`: directions that go from one place of the text to another. Features that are never
    active do not count.

    Raises: UserError: if the run's text cannot be read, or is too short.
    """
    layer = (context.config.layers + 1) // 2 - 1
    vectors = fitting_vectors(context, layer)
    draws = torch.Generator().manual_seed(context.sampling.seed)
    found, chance = list[Tensor](), list[Tensor]()
    for seed in range(SEEDS):
        found.append(_alive(fit(vectors, FEATURES, ACTIVE, context.sampling.seed + seed, STEPS), vectors))
        ends = vectors[torch.randint(len(vectors), (2, FEATURES), generator=draws)]
        chance.append(normalize(ends[0] - ends[1], dim=-1))
    own, control = ([_shares(one, other) for one, other in permutations(each, 2)] for each in (found, chance))
    at = COSINES.index(TWIN)
    twins, others = [each[at] for each in own], [each[at] for each in control]
    count = round(fmean(map(len, found)))
    measures: dict[str, Measure] = {
        **{"layer": layer + 1, "features": count, "twins": fmean(twins), "twins_low": min(twins), "twins_high": max(twins)},
        **{"chance": fmean(others), "chance_high": max(others)},
    }
    mean, low, high, by_chance = (probability(each, 0) for each in (fmean(twins), min(twins), max(twins), fmean(others)))
    sentence = (
        f"Of {whole(count)} features after layer {layer + 1}, {mean} have a twin in a fit with another seed ({low} to {high} "
        f"over the pairs of {SEEDS} seeds), of directions by chance {by_chance}."
    )
    table = by_columns(
        f"share with a cosine above that in another fit; {FEATURES} features, {STEPS:,} steps",
        ("cosine", [f"{cosine:.2f}" for cosine in COSINES]),
        ("features", [share(fmean(each)) for each in zip(*own, strict=True)]),
        ("by chance", [share(fmean(each)) for each in zip(*control, strict=True)]),
        selected=at,
    )
    return ExperimentResult(View("feature_twins", "found again?", sentence, [table]), measures)


@torch.no_grad()
def _alive(found: SparseAutoencoder, vectors: Tensor) -> Tensor:
    """Directions (F, C) of the features that are ever active in some of the vectors (N, C)."""
    values, chosen = found.encode(vectors[:: max(1, len(vectors) // MOST)])
    return found.decoder[chosen[values > 0].unique()]  # type: ignore[no-untyped-call]


def _shares(one: Tensor, other: Tensor) -> list[float]:
    """Share of directions (F, C) of length 1 whose best cosine with one of `other` is above each of `COSINES`."""
    best = (one @ other.T).amax(1)
    return [float((best > cosine).float().mean()) for cosine in COSINES]
