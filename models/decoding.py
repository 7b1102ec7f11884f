"""Decoding one token at a time on a CPU: the logits after one more token of one sequence, with weights in fp32, fp16 or bf16.

One token is a vector, and each linear layer a product of a matrix with it. For a small model the calls are what counts: numpy's
cost less than torch's. For a large one it is the bytes of the matrices, which all come from memory: fp16 and bf16 have half of
them. Which is quickest depends on the processor and on what else it does, so a few tokens of the model at hand decide.
"""

import time
from collections.abc import Callable

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
TRIAL_TOKENS = 4
"""Tokens written in each form to decide which is quickest; the quickest of them counts, for other programs take time, too."""
FORMS, GAIN = (torch.float16, torch.bfloat16), 0.8
"""Forms of the matrices, the more exact first, and the share of the time of those before that one may take. For a token of
GPT-2's shape two cores of an EPYC took 31 ms in fp32, 13 in fp16, 15 in bf16; without AVX 33, 71 and 24."""
MOST_DIVERGENCE = 5e-3
"""KL divergence in nats from fp32's next-token distribution, in any trial token, up to which a form may be used. Of the demo it
is 0.00001 in fp16 and 0.0012 in bf16, and perplexity differs by 0.01 and 0.02%."""
HalfMatrices = dict[nn.Module, Tensor]
"""A model's matrices in fp16 or bf16 by their module."""

ONE_THREAD_UP_TO = 4_000_000
"""Weights up to which one core, whose caches hold them, multiplies quickest by numpy and in fp32. Of a core's time a token took:
micro 200 µs (by torch 234), mini, of 3 M weights, 520 (1,037); small, of 12 M, 4.8 ms in fp32, 2.2 in fp16; GPT-2 36 and 14."""
TRIED_EVERY = 64
"""Tokens in fp16 after which all threads and one are tried anew: one is quicker where it takes all that memory gives, or where
other programs take a core. Each row is one thread's, so that the logits do not depend on it, which they may in fp32."""


def supports_decode(model: GPT, batch: int) -> bool:
    """Check that `OneTokenDecoder` can be used: one sequence, all weights in fp32, on a CPU."""
    return batch == 1 and all(weight.dtype == torch.float32 and weight.device.type == "cpu" for weight in model.parameters())


@torch.inference_mode()
def half_matrices(model: GPT) -> HalfMatrices | None:
    """Copies of the model's matrices for `OneTokenDecoder` in fp16 or bf16, whichever writes quicker; None where fp32 does, or it
    cannot be used.

    They do not follow the weights. A few tokens are written in each form: one is used where it takes at most `GAIN` of the time
    of the more exact ones, and no distribution differs from fp32's by more than `MOST_DIVERGENCE`.
    """
    if parameter_count(model.config) <= ONE_THREAD_UP_TO or not supports_decode(model, 1):
        return None
    seconds, exact = _trial(model, None)
    found = None
    for form in FORMS:
        halves = _in_form(model, form)
        taken, logits = _trial(model, halves)
        if taken <= GAIN * seconds and _divergence(exact, logits) <= MOST_DIVERGENCE:
            found, seconds = halves, taken
    return found


def precision_of(halves: HalfMatrices | None) -> str:
    """ "fp32", "fp16" or "bf16"."""
    form = next(iter(halves.values())).dtype if halves else torch.float32
    return {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}[form]


def _divergence(exact: Tensor, logits: Tensor) -> float:
    """The largest KL divergence of the distributions from the exact ones, in nats, of logits (T, V)."""
    p, q = exact.log_softmax(-1), logits.log_softmax(-1)
    return float((p.exp() * (p - q)).sum(-1).max())


def _in_form(model: GPT, form: torch.dtype) -> HalfMatrices:
    """The matrices in another form. The output head is without the mean of its rows, which would add the same to all logits: the
    smaller they are, the less they are rounded."""
    halves = {module: module.weight.to(form) for module in model.modules() if isinstance(module, nn.Linear)}
    return halves | {model.wte: (model.wte.weight - model.wte.weight.mean(0)).to(form)}


def _trial(model: GPT, halves: HalfMatrices | None) -> tuple[float, Tensor]:
    """The least seconds that a few tokens took, and their logits (T, V)."""
    decoder, times, logits = OneTokenDecoder(model, KVCache(model.config), halves), [], []
    for token in range(min(TRIAL_TOKENS, model.config.context)):
        began = time.perf_counter()
        logits.append(decoder.logits(token % model.config.vocab_size))
        times.append(time.perf_counter() - began)
    return min(times), torch.stack(logits)


class OneTokenDecoder:
    """Compute the logits after one more token and add it to `cache`. The weights must not be replaced while it is in use.

    It is for one sequence and weights in fp32 on a CPU; what is the same for every token is looked up once. Equals
    `GPT.unembed(GPT.hidden(ids, cache))`, up to the rounding of fp32; with `halves` of its matrices up to that of these, and to a
    number that all logits share. Make it and call it under `torch.inference_mode()`.
    """

    def __init__(self, model: GPT, cache: KVCache, halves: HalfMatrices | None = None) -> None:
        config = model.config
        self._small, self._halves = parameter_count(config) <= ONE_THREAD_UP_TO, halves
        self._seconds: list[float] = []
        self._cache, self._context, self._shape = cache, config.context, (config.width,)
        self._wte, self._wpe = model.wte.weight.detach().numpy(), model.wpe.weight.detach().numpy()
        self._layers = [
            (
                (block.ln_1.weight.detach(), block.ln_1.bias.detach()),
                self._product(block.attn.c_attn),
                self._product(block.attn.c_proj),
                (block.ln_2.weight.detach(), block.ln_2.bias.detach()),
                self._product(block.mlp.c_fc),
                self._product(block.mlp.c_proj),
                cache.memory.numpy()[layer, :, 0],  # (2, H, context, D)
            )
            for layer, block in enumerate(model.blocks)
        ]
        self._ln_f, self._head = (model.ln_f.weight.detach(), model.ln_f.bias.detach()), self._product(model.wte)
        self._x, self._y = np.empty((2, config.width), np.float32)
        self._qkv, self._pre = np.empty(3 * config.width, np.float32), np.empty(4 * config.width, np.float32)
        by_head = self._qkv.reshape(3, config.heads, config.head_width)
        self._q, self._kv = torch.from_numpy(by_head[0])[None, :, None], by_head[1:]  # (1, H, 1, D), (2, H, D)

    def _product(self, module: nn.Linear | nn.Embedding) -> Product:
        weight = self._halves[module] if self._halves else module.weight.detach()
        bias = module.bias.detach() if isinstance(module, nn.Linear) else torch.zeros(len(weight))
        if self._small and not self._halves:
            matrix, added = weight.numpy(), bias.numpy()
            return lambda x, out: np.add(np.dot(matrix, x, out=out), added, out=out)
        return lambda x, out: torch.add(bias, torch.mv(weight, torch.from_numpy(x).to(weight.dtype)), out=torch.from_numpy(out))

    def logits(self, token: int) -> Tensor:
        """Logits (V,) of the token after `token`. Raises ValueError if the context is full."""
        threads, tried, began = torch.get_num_threads(), self._seconds, time.perf_counter()
        one = self._halves is not None and (len(tried) == 1 or (len(tried) > 1 and tried[1] < tried[0]))
        torch.set_num_threads(1 if self._small or one else threads)
        try:
            return self._logits(token)
        finally:
            torch.set_num_threads(threads)
            tried.append(time.perf_counter() - began)
            del tried[: len(tried) // TRIED_EVERY * TRIED_EVERY]

    def _logits(self, token: int) -> Tensor:
        at = self._cache.length
        if at >= self._context:
            raise ValueError(f"{at + 1} tokens do not fit into a context of {self._context}.")
        shape, x, y, qkv, pre = self._shape, self._x, self._y, self._qkv, self._pre
        stream, before_gelu = torch.from_numpy(x), torch.from_numpy(pre)  # the same memory
        past = self._cache.memory.narrow(4, 0, at + 1).flatten(0, 1).unbind()  # keys and values by layer, each (1, H, S, D)
        np.add(self._wte[token], self._wpe[at], out=x)  # (C,)
        for layer, (ln_1, c_attn, attn_proj, ln_2, c_fc, mlp_proj, kept) in enumerate(self._layers):
            c_attn(torch.layer_norm(stream, shape, *ln_1, EPSILON).numpy(), qkv)
            kept[:, :, at] = self._kv
            z = F.scaled_dot_product_attention(self._q, past[2 * layer], past[2 * layer + 1])  # (1, H, 1, D)
            attn_proj(z.numpy().reshape(shape), y)
            np.add(x, y, out=x)
            c_fc(torch.layer_norm(stream, shape, *ln_2, EPSILON).numpy(), pre)
            mlp_proj(F.gelu(before_gelu, approximate="tanh").numpy(), y)
            np.add(x, y, out=x)
        self._cache.length = at + 1
        logits = np.empty(len(self._wte), np.float32)
        self._head(torch.layer_norm(stream, shape, *self._ln_f, EPSILON).numpy(), logits)
        return torch.from_numpy(logits)
