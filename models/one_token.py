"""One more token through a small model in fp32 on a CPU, where calling an operation costs as much as carrying it out.

The same numbers as `GPT.hidden` and `GPT.unembed` give with a `KVCache`, up to the rounding of fp32. Here one token is a vector
(C,), each linear layer a product with a vector, and what is the same for every token is looked up once.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.gpt import EPSILON, GPT, KVCache
from models.patterns import blocks_of


def serves(model: GPT, batch: int) -> bool:
    """Whether this way is open: one sequence, all weights in fp32, on a CPU."""
    return batch == 1 and all(weight.dtype == torch.float32 and weight.device.type == "cpu" for weight in model.parameters())


@dataclass(frozen=True)
class _Layer:
    """A block's weights, as (weight, bias), and its part of the cache, each (1, H, context, D)."""

    ln_1: tuple[Tensor, Tensor]
    c_attn: tuple[Tensor, Tensor]
    attn_proj: tuple[Tensor, Tensor]
    ln_2: tuple[Tensor, Tensor]
    c_fc: tuple[Tensor, Tensor]
    mlp_proj: tuple[Tensor, Tensor]
    keys: Tensor
    values: Tensor


def _held(module: nn.Module) -> tuple[Tensor, Tensor]:
    weight, bias = module.weight, module.bias
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    return weight.detach(), bias.detach()


class OneToken:
    """`logits` of a token that follows those in `cache`, which is moved on. The weights must not be replaced while it is in use.

    Meant for `torch.inference_mode()`, in which it must be made, too.
    """

    def __init__(self, model: GPT, cache: KVCache) -> None:
        config = model.config
        self._cache, self._context, self._shape = cache, config.context, (config.width,)
        self._wte, self._wpe, self._ln_f = model.wte.weight.detach(), model.wpe.weight.detach(), _held(model.ln_f)
        self._layers = [
            _Layer(
                _held(block.ln_1),
                _held(block.attn.c_attn),
                _held(block.attn.c_proj),
                _held(block.ln_2),
                _held(block.mlp.c_fc),
                _held(block.mlp.c_proj),
                cache.keys[layer],
                cache.values[layer],
            )
            for layer, block in enumerate(blocks_of(model))
        ]
        self._qkv = torch.empty(3 * config.width)
        q, k, v = self._qkv.view(3, 1, config.heads, config.head_width).unbind()
        self._q, self._k, self._v = q.unsqueeze(2), k, v  # (1, H, 1, D), (1, H, D), (1, H, D)

    def logits(self, token: int) -> Tensor:
        """Logits (V,) of what comes after `token`.

        Raises:
            ValueError: if the context is full.
        """
        at = self._cache.length
        if at >= self._context:
            raise ValueError(f"{at + 1} tokens do not fit into a context of {self._context}.")
        shape = self._shape
        x = self._wte[token] + self._wpe[at]  # (C,)
        for layer in self._layers:
            weight, bias = layer.c_attn
            torch.addmv(bias, weight, torch.layer_norm(x, shape, *layer.ln_1, EPSILON), out=self._qkv)
            layer.keys.select(2, at).copy_(self._k)
            layer.values.select(2, at).copy_(self._v)
            keys, values = layer.keys.narrow(2, 0, at + 1), layer.values.narrow(2, 0, at + 1)  # (1, H, S, D)
            z = F.scaled_dot_product_attention(self._q, keys, values).view(shape)
            weight, bias = layer.attn_proj
            x.addmv_(weight, z).add_(bias)
            weight, bias = layer.c_fc
            post = F.gelu(torch.addmv(bias, weight, torch.layer_norm(x, shape, *layer.ln_2, EPSILON)), approximate="tanh")
            weight, bias = layer.mlp_proj
            x.addmv_(weight, post).add_(bias)
        self._cache.length = at + 1
        return torch.mv(self._wte, torch.layer_norm(x, shape, *self._ln_f, EPSILON))
