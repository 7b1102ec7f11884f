"""AdamW: one step of the optimizer for one weight matrix."""

from functools import partial

import torch
from torch import Tensor

from lab.exercises.exercise import Case
from lab.exercises.material import Material

Step = tuple[Tensor, Tensor, Tensor]


def adamw(
    w: Tensor,
    g: Tensor,
    m: Tensor,
    v: Tensor,
    t: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.95,
    eps: float = 1e-8,
    decay: float = 0.1,
) -> Step:
    weight = torch.nn.Parameter(w.clone())
    weight.grad = g.clone()
    optimizer = torch.optim.AdamW([weight], lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=decay)
    optimizer.state[weight] = {"step": torch.tensor(float(t - 1)), "exp_avg": m.clone(), "exp_avg_sq": v.clone()}
    optimizer.step()
    state = optimizer.state[weight]
    return weight.detach(), state["exp_avg"], state["exp_avg_sq"]


def by(mistake: str, w: Tensor, g: Tensor, m: Tensor, v: Tensor, t: int, lr: float, *settings: float) -> Step:
    """The step with that mistake; the settings are beta1, beta2, eps and decay."""
    beta1, beta2, eps, decay = settings or (0.9, 0.95, 1e-8, 0.1)
    if mistake == "L2":
        g = g + decay * w
    m = beta1 * m + (1 - beta1) * g if mistake != "swapped" else beta2 * m + (1 - beta2) * g
    v = beta2 * v + (1 - beta2) * (g if mistake == "square" else g * g)
    late = t - 1 if mistake == "t" else t
    first, second = (1.0, 1.0) if mistake == "bias" else (1 - beta1**late or 1.0, 1 - beta2**late or 1.0)
    root = (v / second) if mistake == "root" else (v / second + eps).sqrt() if mistake == "eps inside" else (v / second).sqrt()
    moved = lr * (m / first) / (root + (0.0 if mistake in ("eps", "eps inside") else eps))
    shrunk = w if mistake in ("L2", "no decay") else w - (decay if mistake == "decay without lr" else lr * decay) * w
    return (shrunk + moved if mistake == "ascent" else shrunk - moved), m, v


def cases(material: Material) -> list[Case]:
    w = material.weights["h.0.attn.c_proj.weight"]
    generator = torch.Generator().manual_seed(1)
    g, m = (torch.randn(w.shape, generator=generator) * 1e-3 for _ in range(2))
    v = torch.rand(w.shape, generator=generator) * 1e-6
    tiny = g * 1e-5
    return [
        Case("the first step of a matrix of layer 1", (w, g, torch.zeros_like(w), torch.zeros_like(w), 1, 1e-2)),
        Case("step 7 of the same", (w, g, m, v, 7, 1e-2)),
        Case("gradients so small that eps counts", (w, tiny, torch.zeros_like(w), torch.zeros_like(w), 1, 1e-2)),
        Case("other settings", (w, g, m, v, 3, 1e-1, 0.8, 0.99, 1e-3, 0.5)),
        Case("no gradient", (w, *(torch.zeros_like(w) for _ in range(3)), 1, 1e-2)),
    ]


WRONG = {
    sentence: partial(by, mistake)
    for mistake, sentence in {
        "L2": "The decay is added to the gradient: that is L2 in Adam. AdamW shrinks the weights themselves.",
        "bias": "m and v are not divided by 1 − beta^t, so that the first steps are too small.",
        "t": "The steps count from 0; the first is t = 1.",
        "eps": "eps is forgotten.",
        "eps inside": "eps is inside the root; it is added to the root.",
        "root": "It divides by v̂; divide by its root.",
        "square": "v averages the gradient; it averages its square.",
        "no decay": "The weights do not shrink: the decay is missing.",
        "decay without lr": "The weights shrink by decay·w; it is lr·decay·w.",
        "ascent": "The weights move up the gradient; subtract.",
        "swapped": "m is averaged with beta2; it has beta1.",
    }.items()
}
