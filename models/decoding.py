"""Decoding one token at a time on a CPU: the logits after one more token of one sequence, with weights in fp32 or fp16.

One token is a vector, and each linear layer a product of a matrix with it. For a small model the calls are what counts: numpy's
cost less than torch's. For a large one it is the bytes of the matrices, which all come from memory: fp16 has half of them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from models.gpt import EPSILON, GPT, KVCache
from models.parameter_count import parameter_count

Floats = NDArray[np.float32]
Product = Callable[[Floats, Floats], object]
"""Compute a matrix (out, in) times a vector (in,), plus the bias, into the second array (out,)."""

ONE_THREAD_UP_TO = 4_000_000
"""Weights up to which one core, whose caches hold them, multiplies quickest by numpy and in fp32. Of a core's time a token took:
micro 200 µs (by torch 234), mini, of 3 M weights, 520 (1,037); small, of 12 M, 4.8 ms in fp32, 2.2 in fp16; GPT-2 36 and 14."""
TRIED_EVERY = 64
"""Tokens of a larger model after which the number of threads is chosen anew: all of them where memory is faster than a core, one
where it is not, or where other programs take a core. Each row is one thread's, so that the logits do not depend on it."""


def supports_decode(model: GPT, batch: int) -> bool:
    """Check that `OneTokenDecoder` can be used: one sequence, all weights in fp32, on a CPU."""
    return batch == 1 and all(weight.dtype == torch.float32 and weight.device.type == "cpu" for weight in model.parameters())


@dataclass
class HalfMatrices:
    """A model's matrices in fp16 by their module, and how quick the threads were: the seconds of the last tokens, by turn."""

    weights: dict[nn.Module, Tensor]
    turn: int = 0
    seconds: list[float] = field(default_factory=lambda: [0.0] * TRIED_EVERY)

    def threads(self, most: int) -> int:
        """Threads for this turn, of at most so many."""
        return most if self.turn == 0 or (self.turn > 1 and self.seconds[0] < self.seconds[1]) else 1

    def took(self, seconds: float) -> None:
        """End the turn."""
        self.seconds[self.turn] = seconds
        self.turn = (self.turn + 1) % TRIED_EVERY


@torch.inference_mode()
def half_matrices(model: GPT) -> HalfMatrices | None:
    """Copies of the model's matrices in fp16 for `OneTokenDecoder`, or None where fp32 is as quick or it cannot be used.

    They do not follow the weights. The output head is copied without the mean of its rows, which would add the same to all
    logits: the smaller they are, the less they are rounded.
    """
    if parameter_count(model.config) <= ONE_THREAD_UP_TO or not supports_decode(model, 1):
        return None
    halves = {module: module.weight.half() for module in model.modules() if isinstance(module, nn.Linear)}
    return HalfMatrices(halves | {model.wte: (model.wte.weight - model.wte.weight.mean(0)).half()})


def _product(weight: Tensor, bias: Tensor | None, *, small: bool) -> Product:
    """Product with a matrix in fp32 or fp16; the vectors and the bias are in fp32."""
    if small:
        matrix, added = weight.numpy(), None if bias is None else bias.numpy()

        def by_numpy(x: Floats, out: Floats) -> None:
            np.dot(matrix, x, out=out)
            if added is not None:
                np.add(out, added, out=out)

        return by_numpy

    def by_torch(x: Floats, out: Floats) -> None:
        y = torch.mv(weight, torch.from_numpy(x).to(weight.dtype))
        made = torch.from_numpy(out)
        made.copy_(y) if bias is None else torch.add(bias, y, out=made)

    return by_torch


@dataclass(frozen=True)
class _Layer:
    """A block's norms, as (gain, bias), its products, and its keys and values in the cache, (2, H, context, D)."""

    ln_1: tuple[Tensor, Tensor]
    c_attn: Product
    attn_proj: Product
    ln_2: tuple[Tensor, Tensor]
    c_fc: Product
    mlp_proj: Product
    cache: Floats


class OneTokenDecoder:
    """Compute the logits after one more token and add it to `cache`. The weights must not be replaced while it is in use.

    It is for one sequence and weights in fp32 on a CPU; what is the same for every token is looked up once. Equals
    `GPT.unembed(GPT.hidden(ids, cache))`, up to the rounding of fp32; with `halves` of its matrices up to that of fp16, and to a
    number that all logits share. Make it and call it under `torch.inference_mode()`.
    """

    def __init__(self, model: GPT, cache: KVCache, halves: HalfMatrices | None = None) -> None:
        config = model.config
        self._small, self._halves = parameter_count(config) <= ONE_THREAD_UP_TO, halves
        self._cache, self._context, self._shape = cache, config.context, (config.width,)
        self._vocabulary = config.vocab_size
        self._wte, self._wpe = model.wte.weight.detach().numpy(), model.wpe.weight.detach().numpy()
        memory = cache.memory.numpy()

        def product(module: nn.Module) -> Product:
            weight, bias = module.weight, getattr(module, "bias", None)
            assert isinstance(weight, Tensor)
            weight = weight.detach() if halves is None else halves.weights[module]
            return _product(weight, None if bias is None else bias.detach(), small=self._small and halves is None)

        def norm(module: nn.LayerNorm) -> tuple[Tensor, Tensor]:
            return module.weight.detach(), module.bias.detach()

        self._layers = [
            _Layer(
                norm(block.ln_1),
                product(block.attn.c_attn),
                product(block.attn.c_proj),
                norm(block.ln_2),
                product(block.mlp.c_fc),
                product(block.mlp.c_proj),
                memory[layer, :, 0],
            )
            for layer, block in enumerate(model.blocks)
        ]
        self._ln_f, self._head = norm(model.ln_f), product(model.wte)
        self._x, self._y = np.empty((2, config.width), np.float32)
        self._qkv, self._pre = np.empty(3 * config.width, np.float32), np.empty(4 * config.width, np.float32)
        by_head = self._qkv.reshape(3, config.heads, config.head_width)
        self._q, self._kv = torch.from_numpy(by_head[0])[None, :, None], by_head[1:]  # (1, H, 1, D), (2, H, D)

    def logits(self, token: int) -> Tensor:
        """Logits (V,) of the token after `token`. Raises ValueError if the context is full."""
        threads, halves, began = torch.get_num_threads(), self._halves, time.perf_counter()
        # in fp32 the rounding may depend on the number of threads
        torch.set_num_threads(1 if self._small else halves.threads(threads) if halves else threads)
        try:
            return self._logits(token)
        finally:
            torch.set_num_threads(threads)
            if halves:
                halves.took(time.perf_counter() - began)

    def _logits(self, token: int) -> Tensor:
        at = self._cache.length
        if at >= self._context:
            raise ValueError(f"{at + 1} tokens do not fit into a context of {self._context}.")
        shape, x, y, qkv, pre = self._shape, self._x, self._y, self._qkv, self._pre
        stream, before_gelu = torch.from_numpy(x), torch.from_numpy(pre)  # the same memory
        past = self._cache.memory.narrow(4, 0, at + 1).flatten(0, 1).unbind()  # keys and values by layer, each (1, H, S, D)
        np.add(self._wte[token], self._wpe[at], out=x)  # (C,)
        for number, layer in enumerate(self._layers):
            layer.c_attn(torch.layer_norm(stream, shape, *layer.ln_1, EPSILON).numpy(), qkv)
            layer.cache[:, :, at] = self._kv
            z = F.scaled_dot_product_attention(self._q, past[2 * number], past[2 * number + 1])  # (1, H, 1, D)
            layer.attn_proj(z.numpy().reshape(shape), y)
            np.add(x, y, out=x)
            layer.c_fc(torch.layer_norm(stream, shape, *layer.ln_2, EPSILON).numpy(), pre)
            layer.mlp_proj(F.gelu(before_gelu, approximate="tanh").numpy(), y)
            np.add(x, y, out=x)
        self._cache.length = at + 1
        logits = np.empty(self._vocabulary, np.float32)
        self._head(torch.layer_norm(stream, shape, *self._ln_f, EPSILON).numpy(), logits)
        return torch.from_numpy(logits)
