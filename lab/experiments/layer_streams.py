"""Streams of a layer on ordinary text: their lengths, directions of them by chance, and the loss where they are changed."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from lab.experiments.experiment_context import Ids
from lab.experiments.probes import streams
from models.gpt import GPT
from models.lenses import UNCHANGED, Changes, final_logits
from models.lenses import streams as lens_streams

AT_ONCE = 1024
"""Tokens of ordinary text that are computed at once."""
CHANCE = 5
"""Directions by chance, for comparison."""


@torch.no_grad()
def logits_with(model: GPT, ids: Tensor, changes: Changes) -> Tensor:
    """Logits (B, T, V) of ids (B, T) where some streams are changed. The model itself is not, so that others may use it."""
    return final_logits(model, lens_streams(model, ids, changes)[-1])


def stream_after(model: GPT, ids: Tensor, layer: int) -> Tensor:
    """The residual stream (B, T, C) after a layer, 0-based."""
    return next(stream for name, stream in streams(model, ids) if name == f"MLP {layer + 1}")


def mean_length(stream: Tensor) -> float:
    """The mean length of a stream (B, T, C) after the first position, where it is often far longer."""
    later = stream[:, 1:] if stream.shape[1] > 1 else stream
    return float(later.norm(dim=-1).mean())


def chance_directions(stream: Tensor, seed: int) -> Tensor:
    """Directions (CHANCE, C) of length 1, each from one place of a stream (B, T, C) to another: where the stream varies."""
    places = stream.flatten(0, 1)
    chosen = places[torch.randint(len(places), (2, CHANCE), generator=torch.Generator().manual_seed(seed))]
    return normalize(chosen[0] - chosen[1], dim=-1)


@torch.no_grad()
def window_losses(model: GPT, windows: Ids, changes: Changes = UNCHANGED) -> Tensor:
    """Mean −ln p of the tokens of each window, (n,)."""
    losses, at_once = list[Tensor](), max(1, AT_ONCE // windows.shape[1])
    for start in range(0, len(windows), at_once):
        rows = torch.from_numpy(windows[start : start + at_once])
        logits = logits_with(model, rows[:, :-1], changes)
        losses.append(cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction="none").mean(1))
    return torch.cat(losses).double()
