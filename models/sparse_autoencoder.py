"""Top-k sparse autoencoder (Gao et al. 2024): a vector as its mean and a few of many directions, the features.

N vectors of width C, F features, of which k are active in each.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from models.check import check
from models.optimizers import EagerAdamW

BATCH, STEPS, LR = 1024, 2000, 3e-3
"""Vectors of a step of training, steps, and Adam's learning rate, which falls to zero over the last `DECAY` of them."""
DECAY = 0.3
REVIVE_EVERY, REVIVE_UNTIL = 100, 0.6
"""Every so many steps, until this share of the training, features that were not active since become the largest errors."""


@dataclass(frozen=True)
class SparseAutoencoder:
    active: int
    """k"""
    encoder: Tensor
    """(F, C)"""
    encoder_bias: Tensor
    """(F,)"""
    decoder: Tensor
    """(F, C): the directions, each of length 1."""
    bias: Tensor
    """(C,)"""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The activations (N, k), from the largest down, none negative, and the features (N, k) that they are of."""
        parts = [((rows - self.bias) @ self.encoder.T + self.encoder_bias).topk(self.active) for rows in torch.split(x, BATCH)]
        return torch.cat([each.values for each in parts]).relu(), torch.cat([each.indices for each in parts])

    def decode(self, values: Tensor, features: Tensor) -> Tensor:
        """The reconstruction (N, C): the bias, and each direction as long as its activation."""
        return embedding_bag(features, self.decoder, per_sample_weights=values, mode="sum") + self.bias

    def reconstruct(self, x: Tensor) -> Tensor:
        """The reconstruction (..., C) of vectors (..., C)."""
        return self.decode(*self.encode(x.flatten(0, -2))).view(x.shape)


def fit(
    vectors: Tensor, features: int, active: int, seed: int, steps: int = STEPS, told: Callable[[float], None] = lambda share: None
) -> SparseAutoencoder:
    """Train on batches drawn from vectors (N, C) for the least mean squared error. `told` gets the share that is done."""
    draws = torch.Generator().manual_seed(seed)
    mean = vectors.mean(0)
    scale = float(vectors.var(0, correction=0).mean().sqrt().clamp(min=1e-12))
    decoder = normalize(torch.randn(features, vectors.shape[1], generator=draws))
    weights = [decoder.clone(), torch.zeros(features), decoder, torch.zeros(vectors.shape[1])]
    model = SparseAutoencoder(active, *(each.requires_grad_() for each in weights))
    adam = EagerAdamW(weights, LR, betas=(0.9, 0.99), weight_decay=0.0)
    is_used = torch.zeros(features, dtype=torch.bool)
    for step in range(1, steps + 1):
        x = (vectors[torch.randint(len(vectors), (BATCH,), generator=draws)] - mean) / scale
        with torch.enable_grad():
            values, chosen = model.encode(x)
            errors = x - model.decode(values, chosen)
            adam.zero_grad()
            errors.square().mean().backward()  # type: ignore[no-untyped-call]
        adam.param_groups[0]["lr"] = LR * min(1.0, (steps - step + 1) / (DECAY * steps))
        adam.step()
        with torch.no_grad():
            model.decoder.copy_(normalize(model.decoder))
            is_used[chosen[values > 0]] = True
            if step % REVIVE_EVERY == 0:
                if step < REVIVE_UNTIL * steps:
                    _revive(model, adam, (~is_used).nonzero()[:, 0], errors)
                is_used.fill_(False)
        check()  # what is let in here computes no gradients
        told(step / steps)
    encoder, encoder_bias, decoder, bias = (each.detach() for each in weights)
    return SparseAutoencoder(active, encoder, encoder_bias * scale, decoder, mean + bias * scale)


def _revive(model: SparseAutoencoder, adam: EagerAdamW, dead: Tensor, errors: Tensor) -> None:
    """Turn dead features to the vectors of a batch whose errors (N, C) are largest; Adam forgets what it had of them."""
    largest = errors.norm(dim=-1).topk(min(len(dead), len(errors))).indices
    dead = dead[: len(largest)]
    directions = normalize(errors[largest])
    model.decoder[dead], model.encoder[dead], model.encoder_bias[dead] = directions, directions, 0.0
    for weight in (model.encoder, model.encoder_bias, model.decoder):
        for name in ("exp_avg", "exp_avg_sq"):
            adam.state[weight][name][dead] = 0.0


def by_chance(vectors: Tensor, features: int, active: int, seed: int) -> SparseAutoencoder:
    """The control: as many directions drawn by chance, with the one factor on activations that fits vectors (N, C) best."""
    directions = normalize(torch.randn(features, vectors.shape[1], generator=torch.Generator().manual_seed(seed)))
    plain = SparseAutoencoder(active, directions, torch.zeros(features), directions, vectors.mean(0))
    made, wanted = plain.reconstruct(vectors) - plain.bias, vectors - plain.bias
    factor = float((made * wanted).sum() / made.square().sum().clamp(min=1e-12))
    return SparseAutoencoder(active, directions * factor, plain.encoder_bias, directions, plain.bias)


def explained(x: Tensor, made: Tensor, mean: Tensor) -> float:
    """Share of the variance of vectors (N, C) about `mean` that a reconstruction explains; below 0 where it is worse than it."""
    share = 1 - float((x - made).double().square().sum() / (x - mean).double().square().sum().clamp(min=1e-30))
    return share if math.isfinite(share) else 0.0
