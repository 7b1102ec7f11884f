"""GPT-2 on one page: attention, MLP, block, and the model from token ids to logits and loss, with the init of its weights.

The architecture is that of Radford et al. 2019 ("Language Models are Unsupervised Multitask Learners") as OpenAI released it:
learned positions, pre-LayerNorm, biases everywhere, tanh GELU, and an output head that is the token embedding.
In the comments B is the batch, T the tokens, C the width, H the heads, D = C / H, V the vocabulary, S the keys.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from models.attention_kernels import Dropout, causal_attention
from models.chunked_cross_entropy import ChunkLoss, chunked_cross_entropy, loss_and_gradient
from models.config import AttentionKernel, ModelConfig, Precision
from models.gelu import gelu

EPSILON = 1e-5
"""Added to the variance inside LayerNorm's root, as in GPT-2."""
INIT_STD = 0.02
"""Standard deviation of every matrix at initialization; the two residual projections get it divided by sqrt(2 layers)."""


class KVCache:
    """Keys and values of every layer for `context` tokens, so that one more token costs one row instead of all.

    Meant for inference: fill it under `torch.inference_mode()` or `torch.no_grad()`.

    `length` is the number of tokens held. `keys` and `values` are (layers, B, H, context, D); their first `length` rows count.
    `memory` is the tensor behind the two, (layers, 2, B, H, context, D).
    """

    def __init__(
        self, config: ModelConfig, batch: int = 1, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> None:
        shape = (config.layers, 2, batch, config.heads, config.context, config.head_width)
        self.memory = torch.empty(shape, dtype=dtype, device=device)
        self.keys, self.values = self.memory.unbind(1)
        self.length = 0

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append the new tokens' k and v (B, H, T, D); return all keys and values of the layer, (B, H, length + T, D).

        The model advances `length` once every layer has written.
        """
        end = self.length + k.shape[2]
        self.keys[layer, :, :, self.length : end] = k
        self.values[layer, :, :, self.length : end] = v
        return self.keys[layer, :, :, :end].to(k.dtype), self.values[layer, :, :, :end].to(v.dtype)


class Linear(nn.Linear):
    """A linear layer without torch's initial values, which take most of the time in which a model is built on the meta device."""

    def reset_parameters(self) -> None:
        pass


class Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.kernel: AttentionKernel = "auto"
        self.c_attn = Linear(config.width, 3 * config.width)
        self.c_proj = Linear(config.width, config.width)
        self.attn_dropout = config.dropout
        self.resid_dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, cache: KVCache | None, layer: int) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.c_attn(x).view(batch, tokens, 3, self.heads, width // self.heads)  # (B, T, 3, H, D)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()  # each (B, H, T, D)
        if cache is not None:
            k, v = cache.extend(layer, k, v)  # (B, H, S, D)
        z = causal_attention(q, k, v, self.attn_dropout if self.training else 0.0, self.kernel)  # (B, H, T, D)
        z = z.transpose(1, 2).reshape(batch, tokens, width)  # (B, T, C)
        out: Tensor = self.resid_dropout(self.c_proj(z))  # (B, T, C)
        return out


class MLP(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.c_fc = Linear(config.width, 4 * config.width)
        self.c_proj = Linear(4 * config.width, config.width)
        self.resid_dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        post = gelu(self.c_fc(x))  # (B, T, 4*C)
        out: Tensor = self.resid_dropout(self.c_proj(post))  # (B, T, C)
        return out


class Block(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width, eps=EPSILON)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.width, eps=EPSILON)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, cache: KVCache | None, layer: int) -> Tensor:
        x = x + self.attn(self.ln_1(x), cache, layer)
        x = x + self.mlp(self.ln_2(x))
        return x


class Parts(NamedTuple):
    """The two parts of a training step that can be compiled: a block, and the loss of a chunk of logits."""

    block: Callable[[Block, Tensor], Tensor]
    chunk_loss: ChunkLoss


def run_block(block: Block, x: Tensor) -> Tensor:
    """The residual stream (B, T, C) after a block, without a cache."""
    out: Tensor = block(x, None, 0)
    return out


PLAIN = Parts(run_block, loss_and_gradient)


class GPT(nn.Module):
    """A GPT-2 of any shape. Submodules carry GPT-2's own names; linear weights are (out, in); the head is `wte`, stored once.

    `seed` sets the initial weights; None leaves them unset, for a checkpoint to fill. Use as
    `GPT(config)(ids)` for logits, `.loss(ids, targets)` for training.
    """

    def __init__(self, config: ModelConfig, seed: int | None = 0) -> None:
        super().__init__()
        self.config = config
        self.training_parts = PLAIN
        """Used in training mode alone; they hold no weights."""
        self.compiled_parts: Parts | None = None
        """A compiled form of them; in training mode alone, so that no other shape is ever compiled."""
        self.gradient_scale: Tensor | None = None
        """Factor on the gradients of `loss`, which itself is not multiplied; see `chunked_cross_entropy`."""
        device = torch.empty(0).device  # `torch.get_default_device` of torch 2.6 does not see `with torch.device(...)`
        with torch.device("meta"):  # without values: torch's own initial ones would only be thrown away
            self.wte = _embedding(config.vocab_size, config.width)
            self.wpe = _embedding(config.context, config.width)
            self.drop = Dropout(config.dropout)
            self.h = nn.ModuleList(Block(config) for _ in range(config.layers))
            self.ln_f = nn.LayerNorm(config.width, eps=EPSILON)
        if device.type != "meta":
            _allocate(self, device)
            if seed is not None:
                self.init_weights(seed)

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Initialize the weights from the seed alone, whatever the device and torch's global generator.

        Matrices and embeddings are N(0, 0.02), those of the two residual projections N(0, 0.02 / sqrt(2 layers)), so that the
        residual stream does not grow with depth (Radford et al. 2019, section 2.3). Biases are 0 and norms' gains 1.
        """
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.dim() == 1:
                weight.fill_(1.0 if ".ln_" in f".{name}" and name.endswith("weight") else 0.0)
            else:
                std = INIT_STD / math.sqrt(2 * self.config.layers) if name.endswith("c_proj.weight") else INIT_STD
                weight.copy_(torch.empty(weight.shape).normal_(0.0, std, generator=generator))

    def hidden(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        """The residual stream after the final norm, (B, T, C), of ids (B, T); see `forward`."""
        start = 0 if cache is None else cache.length
        end = start + ids.shape[1]
        if end > self.config.context:
            raise ValueError(f"{end} tokens do not fit into a context of {self.config.context}.")
        x = self.drop(self.wte(ids) + self.wpe.weight[start:end])  # (B, T, C)
        for layer, block in enumerate(self.blocks):
            x = self.parts.block(block, x) if cache is None else block(x, cache, layer)  # (B, T, C)
        if cache is not None:
            cache.length = end
        normed: Tensor = self.ln_f(x)  # (B, T, C)
        return normed

    def unembed(self, x: Tensor) -> Tensor:
        """Logits (..., V) of vectors (..., C) that the final norm has been applied to."""
        return F.linear(x, self.wte.weight)

    def forward(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        """Logits (B, T, V) of ids (B, T); those at position t predict the token at t + 1.

        With a cache, ids are only the tokens that come after those it holds, and they are added to it.

        Raises:
            ValueError: if the tokens, with those in the cache, are more than the context.
        """
        return self.unembed(self.hidden(ids, cache))

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy in nats per token, a scalar, of targets (B, T) after ids (B, T). Targets of -100 are ignored."""
        hidden = self.hidden(ids).flatten(0, 1)  # (B*T, C)
        return chunked_cross_entropy(hidden, self.wte.weight, targets.flatten(), self.gradient_scale, self.parts.chunk_loss)

    @property
    def parts(self) -> Parts:
        """The parts in use."""
        return (self.compiled_parts or self.training_parts) if self.training else PLAIN

    @property
    def blocks(self) -> list[Block]:
        """The layers, with their own type."""
        return [block for block in self.h if isinstance(block, Block)]

    def set_attention_kernel(self, kernel: AttentionKernel) -> None:
        """Compute attention by this kernel in every layer; see `models.attention_kernels`."""
        for block in self.blocks:
            block.attn.kernel = kernel

    def cast_matrices_to_bf16(self) -> None:
        """Cast the matrices to bf16, so that generation reads half as many bytes for each token.

        Norms, positions and the residual stream stay in fp32. Not for training, nor for numbers that are shown: the logits are
        rounded to 8 bits, too.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear) or module is self.wte:
                module.to(torch.bfloat16)


@contextmanager
def in_evaluation(model: nn.Module, hooks: Iterable[RemovableHandle] = ()) -> Iterator[None]:
    """Context in which the model is in evaluation mode, and after which it is as it was, without these hooks."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()


def _embedding(rows: int, width: int) -> nn.Embedding:
    """An embedding without initial values: drawing them on the meta device loads torch's compiler, which takes seconds."""
    return nn.Embedding(rows, width, _weight=torch.empty(rows, width))


def _allocate(model: nn.Module, device: torch.device) -> None:
    """Give the parameters of a model on the meta device memory on another, as `to_empty` does, which loads sympy for it."""
    for module in model.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(torch.empty(weight.shape, dtype=weight.dtype, device=device)))


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(precision: Precision, device_type: str) -> AbstractContextManager[None]:
    """Context of a forward pass in this precision."""
    return nullcontext() if precision == "fp32" else torch.autocast(device_type, DTYPES[precision])
