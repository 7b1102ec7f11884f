"""One more token through a small model in fp32 on a CPU, where calling an operation costs as much as carrying it out.

The same numbers as `GPT.hidden` and `GPT.unembed` give with a `KVCache`, up to the rounding of fp32. Here one token is a vector
(C,), each linear layer a product with a vector, and what is the same for every token is looked up once.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.attention_patterns import blocks_of
from models.gpt import EPSILON, GPT, KVCache
from models.parameter_count import parameter_count

SMALL = 4_000_000
"""Up to so many weights, which a core reads from its caches, a second thread brings less than waiting for it costs: micro took
128 µs a token with one and 163 with two, beside other work on the same two cores (the least of 36 rounds)."""


def serves(model: GPT, batch: int) -> bool:
    """Whether this way is open: one sequence, all weights in fp32, on a CPU."""
    return batch == 1 and all(weight.dtype == torch.float32 and weight.device.type == "cpu" for weight in model.parameters())


@dataclass(frozen=True)
class _Layer:
    """A block's weights, as (weight, bias), and its part of the cache, keys and values, (2, 1, H, context, D)."""

    ln_1: tuple[Tensor, Tensor]
    c_attn: tuple[Tensor, Tensor]
    attn_proj: tuple[Tensor, Tensor]
    ln_2: tuple[Tensor, Tensor]
    c_fc: tuple[Tensor, Tensor]
    mlp_proj: tuple[Tensor, Tensor]
    held: Tensor


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
        self._alone = parameter_count(config) <= SMALL
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
                cache.both[layer],
            )
            for layer, block in enumerate(blocks_of(model))
        ]
        self._qkv = torch.empty(3 * config.width)
        by_head = self._qkv.view(3, 1, config.heads, config.head_width)
        self._q, self._kv = by_head[0].unsqueeze(2), by_head[1:]  # (1, H, 1, D), (2, 1, H, D)

    def logits(self, token: int) -> Tensor:
        """Logits (V,) of what comes after `token`.

        Raises:
            ValueError: if the context is full.
        """
        threads = torch.get_num_threads()
        if self._alone:
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
            layer.held.select(3, at).copy_(self._kv)
            keys, values = layer.held.narrow(3, 0, at + 1).unbind()  # (1, H, S, D)
            z = F.scaled_dot_product_attention(self._q, keys, values).view(shape)
            weight, bias = layer.attn_proj
            x.addmv_(weight, z).add_(bias)
            weight, bias = layer.c_fc
            post = F.gelu(torch.addmv(bias, weight, torch.layer_norm(x, shape, *layer.ln_2, EPSILON)), approximate="tanh")
            weight, bias = layer.mlp_proj
            x.addmv_(weight, post).add_(bias)
        self._cache.length = at + 1
        return torch.mv(self._wte, torch.layer_norm(x, shape, *self._ln_f, EPSILON))
