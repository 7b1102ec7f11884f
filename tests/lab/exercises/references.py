"""Functions of the exercises by other code than their plain solutions: by the lab's own model and sampling, or by torch."""

from functools import cache

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from models.attention_kernels import causal_attention
from models.config import ModelConfig, SamplingSettings
from models.gelu import gelu
from models.gpt import GPT, KVCache
from models.sampling import distribution

Weights = dict[str, Tensor]


def softmax(scores: Tensor) -> Tensor:
    return torch.softmax(scores, -1)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    return F.layer_norm(x, gain.shape, gain, bias, eps)


def head(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return causal_attention(q[None, None], k[None, None], v[None, None], 0.0, "auto")[0, 0]


def attention(x: Tensor, w_qkv: Tensor, b_qkv: Tensor, w_out: Tensor, b_out: Tensor, heads: int) -> Tensor:
    tokens, width = x.shape
    parts = (x @ w_qkv.T + b_qkv).view(tokens, 3, heads, width // heads)
    q, k, v = parts.permute(1, 2, 0, 3)[:, None]  # (1, H, T, D) each
    z = causal_attention(q, k, v)[0]  # (H, T, D)
    return z.transpose(0, 1).reshape(tokens, width) @ w_out.T + b_out


def mlp(x: Tensor, w_fc: Tensor, b_fc: Tensor, w_out: Tensor, b_out: Tensor) -> Tensor:
    return gelu(x @ w_fc.T + b_fc) @ w_out.T + b_out


def gpt(ids: Tensor, weights: Weights, heads: int) -> Tensor:
    logits: Tensor = torch.func.functional_call(_model_of(weights, heads), weights, (ids[None],))[0]
    return logits


def _model_of(weights: Weights, heads: int) -> GPT:
    """A model without weights of its own, to be called with these."""
    (context, width), vocabulary = weights["wpe.weight"].shape, len(weights["wte.weight"])
    layers = sum(name.endswith("ln_1.weight") for name in weights)
    return _model(ModelConfig(layers=layers, heads=heads, width=width, context=context, vocab_size=vocabulary))


@cache
def _model(config: ModelConfig) -> GPT:
    with torch.device("meta"):
        return GPT(config, seed=None).eval()


def cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    wide = logits.detach().clone().requires_grad_()
    with torch.enable_grad():
        loss = F.cross_entropy(wide, targets)
    return loss.detach(), torch.autograd.grad(loss, wide)[0]


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
    optimizer = torch.optim.AdamW([weight], lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=decay)
    optimizer.state[weight] = {"step": torch.tensor(float(t - 1)), "exp_avg": m.clone(), "exp_avg_sq": v.clone()}
    optimizer.step()
    state = optimizer.state[weight]
    return weight.detach(), state["exp_avg"], state["exp_avg_sq"]


def sample(logits: Tensor, u: float, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> tuple[Tensor, int]:
    p = distribution(logits, SamplingSettings(temperature=temperature, top_k=top_k, top_p=top_p)).after
    return p, int(torch.searchsorted(p.cumsum(0), u, right=True))


def next_logits(token: int, cache: Tensor, weights: Weights, heads: int) -> tuple[Tensor, Tensor]:
    layers, _, length, width = cache.shape
    model = _model_of(weights, heads)
    held = KVCache(model.config)
    held.keys[:, 0, :, :length], held.values[:, 0, :, :length] = (
        cache.view(layers, 2, length, heads, width // heads).transpose(2, 3).unbind(1)
    )
    held.length = length
    logits = torch.func.functional_call(model, weights, (torch.tensor([[token]]), held))[0, -1]
    grown = held.memory[:, :, 0, :, : length + 1].transpose(2, 3).reshape(layers, 2, length + 1, width)
    return logits, grown


REFERENCES = {
    each.__name__: each for each in (softmax, layer_norm, head, attention, mlp, gpt, cross_entropy, adamw, sample, next_logits)
}
