"""Lenses: what a model would predict from an earlier residual stream, through an affine map to its last one.

A lens has a matrix M (C, C) and a vector b (C,) for each stream h (C,), that of the embeddings and those after each layer; what
it predicts is unembed(norm(M h + b)). B is the batch, T the tokens, C the width, V the vocabulary, N places.

    logit lens     M = 1, b = 0                     nostalgebraist 2020, "interpreting GPT: the logit lens"
    Jacobian lens  M = E[∂h_last/∂h], b = 0         Gurnee et al. 2026, "Verbalizable Representations Form a Global Workspace"
    tuned lens     M, b fitted to the prediction    Belrose et al. 2023, "Eliciting Latent Predictions … with the Tuned Lens"
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from models.check import check
from models.gpt import GPT
from models.learning_rate import schedule_factor
from models.optimizers import EagerAdamW

RIDGE = 1e-3
"""Added to the diagonal of the streams' correlations."""
PLACES_AT_ONCE, RATE = 512, 1e-2
"""Places of a step of the tuned lens, and the first step's learning rate."""


Changes = Mapping[int, Callable[[Tensor], Tensor]]
"""What is made of the stream (B, T, C) after a layer, by the layer, 0-based."""
UNCHANGED: Changes = {}


class Lens(NamedTuple):
    """The map of one stream."""

    matrix: Tensor
    bias: Tensor

    def logits(self, model: GPT, streams: Tensor) -> Tensor:
        """Logits (..., V) that the lens reads from streams (..., C)."""
        return model.unembed(model.ln_f(streams @ self.matrix.T + self.bias))


@torch.no_grad()
def streams(model: GPT, ids: Tensor, changes: Changes = UNCHANGED) -> list[Tensor]:
    """The streams (B, T, C) of ids (B, T): of the embeddings and after each layer, the last one before the final norm."""
    return _from(model, model.wte(ids) + model.wpe.weight[: ids.shape[1]], changes)


def _from(model: GPT, embedded: Tensor, changes: Changes = UNCHANGED) -> list[Tensor]:
    found = [embedded]
    for layer, block in enumerate(model.blocks):
        stream = block(found[-1], None, 0)
        found.append(changes[layer](stream) if layer in changes else stream)
        check()
    return found


def jacobian_lenses(model: GPT, ids: Tensor, signs: Tensor) -> list[Lens]:
    """The Jacobian lens of every stream but the last, from windows of ids (B, T).

    Its matrix is the mean over the places t of ∂h_last[t]/∂h[t]: the derivative at the same place alone, with what goes through
    attention to later places left out. (The paper's own code sums over the later places, too; on small models that was
    farther from the final prediction at every layer.) All places are taken in one backward pass for each row: with `signs` s
    (B, T) of ±1 by chance, Σ_u s[u] h_last[u] is differentiated and the derivative at t multiplied by s[t], so that what comes
    from u ≠ t has the mean 0.
    """
    with torch.enable_grad():
        found = _from(model, (model.wte(ids) + model.wpe.weight[: ids.shape[1]]).detach().requires_grad_())
        rows = list[list[Tensor]]()
        for i in range(model.config.width):
            slopes = torch.autograd.grad(found[-1][..., i], found[:-1], signs, retain_graph=True)  # of each (B, T, C)
            rows.append([(each * signs[..., None]).mean((0, 1)) for each in slopes])
            check()
    return [Lens(torch.stack(each), torch.zeros(model.config.width)) for each in zip(*rows, strict=True)]


def ridge(found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (C, K) and bias (K,) that map vectors (N, C) to wanted ones (N, K) with the least squares and a ridge.

    With X the vectors about their mean, over their standard deviation, and Y the wanted ones about theirs, the weights are
    (XᵀX / N + λ)⁻¹ Xᵀ Y / N.
    """
    mean, deviation = found.mean(0), found.std(0).clamp(min=1e-6)
    x = (found - mean) / deviation
    gram = x.T @ x / len(x) + RIDGE * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(gram, x.T @ (wanted - wanted.mean(0)) / len(x)) / deviation[:, None]
    return weights, wanted.mean(0) - mean @ weights


def ridge_lens(found: Tensor, last: Tensor) -> Lens:
    """The affine map by `ridge` from streams (N, C) to the last ones (N, C) as the final norm leaves them before its gain: their
    length does not matter to it."""
    weights, bias = ridge(found, torch.nn.functional.layer_norm(last, last.shape[-1:]))
    return Lens(weights.T, bias)


def tuned_lens(model: GPT, found: Tensor, last: Tensor, steps: int, seed: int = 0) -> Lens:
    """The tuned lens of streams (N, C) whose last ones are `last` (N, C): the ridge's map after `steps` of Adam on the KL
    divergence from the model's own prediction, with a rate that falls to 0 along a cosine.

    The ridge alone has up to twice that divergence (measured on text that neither had seen); from it, some 150 steps do.
    """
    draws = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        lens = Lens(*(each.requires_grad_() for each in ridge_lens(found, last)))
        adam = EagerAdamW(lens, RATE, weight_decay=0.0)
        for step in range(steps):
            adam.param_groups[0]["lr"] = RATE * schedule_factor("cosine", step / steps, warmup=0.0, final=0.0)
            at = torch.randint(len(found), (PLACES_AT_ONCE,), generator=draws)
            loss = divergence(final_logits(model, last[at]), lens.logits(model, found[at])).mean()
            lens.matrix.grad, lens.bias.grad = torch.autograd.grad(loss, lens)
            adam.step()
            check()
    return Lens(lens.matrix.detach(), lens.bias.detach())


@torch.no_grad()
def final_logits(model: GPT, last: Tensor) -> Tensor:
    """The model's own logits (..., V) of its last streams (..., C)."""
    return model.unembed(model.ln_f(last))


def divergence(final: Tensor, read: Tensor) -> Tensor:
    """KL(p ‖ q) = Σ p (ln p − ln q) in nats, (...), of p and q with logits `final` and `read` (..., V)."""
    p, q = final.log_softmax(-1), read.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)
