"""The sparse autoencoder: planted directions, and its formulas in numpy."""

import numpy as np
import torch
from torch.nn.functional import normalize

from models.sparse_autoencoder import SparseAutoencoder, by_chance, explained, fit


def test_directions_that_were_planted_are_found() -> None:
    draws = torch.Generator().manual_seed(0)
    planted = normalize(torch.randn(5, 16, generator=draws))
    strengths = torch.rand(20000, 5, generator=draws) + 0.5
    is_on = torch.rand(20000, 5, generator=draws) < 0.1
    stream = 3.0 + (strengths * is_on) @ planted
    found = fit(stream, 8, 2, seed=1, steps=400)
    nearest = (planted @ found.decoder.T).amax(1)
    assert nearest.min() > 0.95
    chance = by_chance(stream, 8, 2, seed=1)
    assert (planted @ chance.decoder.T).amax(1).min() < 0.9
    mean = stream.mean(0)
    assert explained(stream, found.reconstruct(stream), mean) > 0.85 > explained(stream, chance.reconstruct(stream), mean)
    assert (found.decoder.norm(dim=1) - 1).abs().max() < 1e-5


def test_the_formulas_equal_those_in_numpy() -> None:
    draws = torch.Generator().manual_seed(3)
    encoder, decoder = torch.randn(12, 6, generator=draws), normalize(torch.randn(12, 6, generator=draws))
    bias_of_features, bias = torch.randn(12, generator=draws) - 1, torch.randn(6, generator=draws)
    model, x = SparseAutoencoder(3, encoder, bias_of_features, decoder, bias), torch.randn(40, 6, generator=draws)
    e, d, b, c, v = (each.double().numpy() for each in (encoder, decoder, bias_of_features, bias, x))
    made = np.empty_like(v)
    for row, vector in enumerate(v):
        before = e @ (vector - c) + b
        made[row] = c + sum(max(before[at], 0.0) * d[at] for at in np.argsort(-before)[:3])
    assert np.abs(model.reconstruct(x).double().numpy() - made).max() < 1e-5
    share = 1 - ((v - made) ** 2).sum() / ((v - v.mean(0)) ** 2).sum()
    assert abs(explained(x, model.reconstruct(x), x.mean(0)) - share) < 1e-5
