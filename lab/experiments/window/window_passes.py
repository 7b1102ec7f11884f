"""Forward passes over windows of the run's text, one layer of a few windows at a time: other requests are served meanwhile."""

from typing import TYPE_CHECKING

from lab.experiments.experiment_context import Ids
from models.config import ModelConfig
from models.parameter_count import flops_per_token
from models.unembed import Slices

if TYPE_CHECKING:
    from torch import Tensor

    from models.gpt import GPT

TOKENS_AT_ONCE = 1024
"""Tokens that go through a layer at once: some hundredths of a second for the models that are trained on a laptop."""


def affordable_windows(config: ModelConfig, flops: float, most: int) -> int:
    """Number of windows of a whole context whose forward passes take about so many FLOPs; at least 2 and at most `most`."""
    one = flops_per_token(config) / 3 * config.context
    return max(2, min(most, int(flops / one)))


def hidden_of(model: "GPT", ids: Ids) -> Slices["Tensor"]:
    """The residual stream after the final norm, (B, T, C), of ids (B, T)."""
    import torch

    with torch.no_grad():
        rows = torch.from_numpy(ids)
        x = model.wte(rows) + model.wpe.weight[: rows.shape[1]]  # (B, T, C)
    for layer, block in enumerate(model.blocks):
        with torch.no_grad():
            x = block(x, None, layer)
        yield
    with torch.no_grad():
        normed: Tensor = model.ln_f(x)
    return normed


def losses_of(model: "GPT", windows: Ids) -> Slices["Tensor"]:
    """−ln p of every token but the first, (B, T), of windows (B, T + 1), float32."""
    import torch
    from torch.nn.functional import cross_entropy

    at_once = max(1, TOKENS_AT_ONCE // (windows.shape[1] - 1))
    parts = []
    for start in range(0, len(windows), at_once):
        rows = windows[start : start + at_once]
        hidden = yield from hidden_of(model, rows[:, :-1])
        for vectors, targets in zip(hidden, torch.from_numpy(rows[:, 1:]), strict=True):  # (T, C), (T,)
            with torch.no_grad():
                parts.append(cross_entropy(model.unembed(vectors), targets, reduction="none"))
        yield
    return torch.stack(parts)


def last_probabilities(model: "GPT", windows: Ids) -> Slices["Tensor"]:
    """Probabilities of the token after each window, (B, V), of windows (B, T), float64."""
    import torch

    at_once = max(1, TOKENS_AT_ONCE // windows.shape[1])
    parts = []
    for start in range(0, len(windows), at_once):
        hidden = yield from hidden_of(model, windows[start : start + at_once])
        with torch.no_grad():
            parts.append(torch.softmax(model.unembed(hidden[:, -1]).double(), -1))
        yield
    return torch.cat(parts)
