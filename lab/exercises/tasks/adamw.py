"""AdamW: one step of the optimizer for one weight matrix."""

import torch
from torch import Tensor

from lab.exercises.material import Case, Material
from models.optimizers import EagerAdamW


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
) -> tuple[Tensor, Tensor, Tensor]:
    weight = torch.nn.Parameter(w.clone())
    weight.grad = g.clone()
    optimizer = EagerAdamW([weight], lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=decay)
    optimizer.state[weight] = {"step": torch.tensor(float(t - 1)), "exp_avg": m.clone(), "exp_avg_sq": v.clone()}
    optimizer.step()
    state = optimizer.state[weight]
    return weight.detach(), state["exp_avg"], state["exp_avg_sq"]


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
