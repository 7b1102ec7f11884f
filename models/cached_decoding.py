"""Decoding one token with the KV cache: for one sequence and weights in fp32 on a CPU, where each call of an operation counts.

Used by sampling. Equals `GPT.unembed(GPT.hidden(ids, cache))`, up to the rounding of fp32. Here one token is a vector (C,), each
linear layer a product with a vector, and what is the same for every token is looked up once.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.gpt import EPSILON, GPT, KVCache
from models.parameter_count import parameter_count

ONE_THREAD_UP_TO = 4_000_000
"""Weights up to which a core reads them from its caches, and a second thread costs more than it brings: micro took 128 µs a token
with one and 163 with two, beside other work on the same two cores (the least of 36 rounds)."""


def supports_decode(model: GPT, batch: int) -> bool:
    """Check that `OneTokenDecoder` can be used: one sequence, all weights in fp32, on a CPU."""
    return batch == 1 and all(weight.dtype == torch.float32 and weight.device.type == "cpu" for weight in model.parameters())


@dataclass(frozen=True)
class _Layer:
    """A block's weights, as (weight, bias), and its keys and values in the cache, (2, 1, H, context, D)."""

    ln_1: tuple[Tensor, Tensor]
    c_attn: tuple[Tensor, Tensor]
    attn_proj: tuple[Tensor, Tensor]
    ln_2: tuple[Tensor, Tensor]
    c_fc: tuple[Tensor, Tensor]
    mlp_proj: tuple[Tensor, Tensor]
    cache: Tensor


def _weight_and_bias(module: nn.Module) -> tuple[Tensor, Tensor]:
    weight, bias = module.weight, module.bias
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    return weight.detach(), bias.detach()


class OneTokenDecoder:
    """Compute the logits after one more token and add it to `cache`. The weights must not be replaced while it is in use.

    Make it and call it under `torch.inference_mode()`.
    """

    def __init__(self, model: GPT, cache: KVCache) -> None:
        config = model.config
        self._one_thread = parameter_count(config) <= ONE_THREAD_UP_TO
        self._cache, self._context, self._shape = cache, config.context, (config.width,)
        self._wte, self._wpe, self._ln_f = model.wte.weight.detach(), model.wpe.weight.detach(), _weight_and_bias(model.ln_f)
        self._layers = [
            _Layer(
                _weight_and_bias(block.ln_1),
                _weight_and_bias(block.attn.c_attn),
                _weight_and_bias(block.attn.c_proj),
                _weight_and_bias(block.ln_2),
                _weight_and_bias(block.mlp.c_fc),
                _weight_and_bias(block.mlp.c_proj),
                cache.memory[layer],
            )
            for layer, block in enumerate(model.blocks)
        ]
        self._qkv = torch.empty(3 * config.width)
        by_head = self._qkv.view(3, 1, config.heads, config.head_width)
        self._q, self._kv = by_head[0].unsqueeze(2), by_head[1:]  # (1, H, 1, D), (2, 1, H, D)

    def logits(self, token: int) -> Tensor:
        """Logits (V,) of the token after `token`. Raises ValueError if the context is full."""
        threads = torch.get_num_threads()
        if self._one_thread:
            torch.set_num_threads(1)
        try:
            return self._logits(token)
        finally:
            torch.set_num_threads(threads)

    def _logits(self, token: int) -> Tensor:
        at = self._cache.length
        if at >= self._context:
            raise ValueError(f"{at + 1} tokens do not fit into a context of {self._context}.")
        shape = self._shape
        x = self._wte[token] + self._wpe[at]  # (C,)
        for layer in self._layers:
            weight, bias = layer.c_attn
            torch.addmv(bias, weight, torch.layer_norm(x, shape, *layer.ln_1, EPSILON), out=self._qkv)
            layer.cache.select(3, at).copy_(self._kv)
            keys, values = layer.cache.narrow(3, 0, at + 1).unbind()  # (1, H, S, D)
            z = F.scaled_dot_product_attention(self._q, keys, values).view(shape)
            weight, bias = layer.attn_proj
            x.addmv_(weight, z).add_(bias)
            weight, bias = layer.c_fc
            post = F.gelu(torch.addmv(bias, weight, torch.layer_norm(x, shape, *layer.ln_2, EPSILON)), approximate="tanh")
            weight, bias = layer.mlp_proj
            x.addmv_(weight, post).add_(bias)
        self._cache.length = at + 1
        return torch.mv(self._wte, torch.layer_norm(x, shape, *self._ln_f, EPSILON))
