"""GPT-2, from token ids to logits, with the loss it is trained on and the cache it is sampled with.

The architecture is that of Radford et al. 2019 ("Language Models are Unsupervised Multitask Learners") as OpenAI released it:
learned positions, pre-LayerNorm, biases everywhere, tanh GELU, and an output head that is the token embedding.
In the comments B is the batch, T the tokens, C the width, H the heads, D = C / H, V the vocabulary, S the keys that may be seen.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.chunked_cross_entropy import head_cross_entropy
from models.config import AttentionKernel, ModelConfig
from models.fast_dropout import Dropout
from models.fast_dropout import dropout as drop

EPSILON = 1e-5
"""Added to the variance inside LayerNorm's root, as in GPT-2."""
INIT_STD = 0.02
"""Standard deviation of every matrix at the start; the two residual projections get it divided by sqrt(2 layers)."""
PLAIN_UP_TO = 512
"""Up to this many tokens bf16 attention is quicker on a CPU by two plain products than by torch's fused kernel (measured)."""


class KVCache:
    """The keys and values of the tokens a model has seen, so that one more token costs one more row. Room for `context` tokens.

    Meant for inference: fill it under `torch.inference_mode()` or `torch.no_grad()`.

    `length` is how many tokens are held. `keys` and `values` are (layers, B, H, context, D); their first `length` rows count.
    `both` is the memory of the two, (layers, 2, B, H, context, D).
    """

    def __init__(
        self, config: ModelConfig, batch: int = 1, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> None:
        shape = (config.layers, 2, batch, config.heads, config.context, config.head_width)
        self.both = torch.empty(shape, dtype=dtype, device=device)
        self.keys, self.values = self.both.unbind(1)
        self.length = 0

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Writes the new tokens' k and v (B, H, T, D) behind those held, and gives all of the layer's (B, H, length + T, D).

        `length` is moved on by the model once every layer has written.
        """
        end = self.length + k.shape[2]
        self.keys[layer, :, :, self.length : end] = k
        self.values[layer, :, :, self.length : end] = v
        return self.keys[layer, :, :, :end].to(k.dtype), self.values[layer, :, :, :end].to(v.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0, kernel: AttentionKernel = "auto") -> Tensor:
    """Causal attention, softmax(q kᵀ / sqrt(D)) v, of queries (B, H, T, D) that are the last T of the S keys (B, H, S, D).

    The kernel "auto" is torch's fused one, except on a CPU where plain products are quicker: short sequences in bf16, and with
    dropout.
    """
    batch, heads, tokens, width = q.shape
    seen = k.shape[2]
    usual = q.device.type == "cpu" and (dropout > 0.0 or (q.dtype == torch.bfloat16 and tokens <= PLAIN_UP_TO))
    if usual if kernel == "auto" else kernel == "plain":
        q, k, v = (x.reshape(batch * heads, -1, width) for x in (q, k, v))  # (B*H, T or S, D)
        attn_scores = torch.baddbmm(causal_mask(tokens, seen, q), q, k.transpose(1, 2), alpha=1 / math.sqrt(width))  # (B*H, T, S)
        pattern = drop(attn_scores.softmax(-1), dropout)
        return torch.bmm(pattern, v).view(batch, heads, tokens, width)
    if tokens == seen:
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
    mask = None if tokens == 1 else causal_mask(tokens, seen, q)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)


def causal_mask(tokens: int, seen: int, like: Tensor) -> Tensor:
    """What is added to the scores (T, S): 0 where a query may look, -inf at the keys after it. Type and device of `like`."""
    return torch.full((tokens, seen), -math.inf, dtype=like.dtype, device=like.device).triu_(seen - tokens + 1)


class Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.kernel: AttentionKernel = "auto"
        self.c_attn = nn.Linear(config.width, 3 * config.width)
        self.c_proj = nn.Linear(config.width, config.width)
        self.attn_dropout = config.dropout
        self.resid_dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, cache: KVCache | None, layer: int) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.c_attn(x).view(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()  # each (B, H, T, D)
        if cache is not None:
            k, v = cache.extend(layer, k, v)  # (B, H, S, D)
        z = attend(q, k, v, self.attn_dropout if self.training else 0.0, self.kernel)  # (B, H, T, D)
        z = z.transpose(1, 2).reshape(batch, tokens, width)  # (B, T, C)
        out: Tensor = self.resid_dropout(self.c_proj(z))
        return out


class MLP(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.width, 4 * config.width)
        self.c_proj = nn.Linear(4 * config.width, config.width)
        self.resid_dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.resid_dropout(self.c_proj(F.gelu(self.c_fc(x), approximate="tanh")))
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


class GPT(nn.Module):
    """A GPT-2 of any shape. Submodules carry GPT-2's own names; linear weights are (out, in); the head is `wte`, stored once.

    `seed` sets the initial weights; None leaves them unset, for a checkpoint to fill. Use as
    `GPT(config)(ids)` for logits, `.loss(ids, targets)` for training.
    """

    def __init__(self, config: ModelConfig, seed: int | None = 0) -> None:
        super().__init__()
        self.config = config
        device = torch.get_default_device()
        with torch.device("meta"):  # without values: torch's own initial ones would only be thrown away
            self.wte = nn.Embedding(config.vocab_size, config.width)
            self.wpe = nn.Embedding(config.context, config.width)
            self.drop = Dropout(config.dropout)
            self.h = nn.ModuleList(Block(config) for _ in range(config.layers))
            self.ln_f = nn.LayerNorm(config.width, eps=EPSILON)
        if device.type != "meta":
            self.to_empty(device=device)
            if seed is not None:
                self.init_weights(seed)

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Fresh weights that depend on the seed alone, not on the device nor on torch's global generator.

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

    def cast_matrices_to_bf16(self) -> None:
        """Keeps the matrices in bf16, so that generation reads half as much for each token. Norms, positions and the residual
        stream stay in fp32. Not for training, nor for numbers that are looked at: logits are then rounded to 8 bits, too."""
        for module in self.modules():
            if isinstance(module, nn.Linear) or module is self.wte:
                module.to(torch.bfloat16)

    def set_attention_kernel(self, kernel: AttentionKernel) -> None:
        """Has every layer compute its attention by this kernel."""
        for module in self.modules():
            if isinstance(module, Attention):
                module.kernel = kernel

    def hidden(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        """The residual stream after the final norm, (B, T, C), of ids (B, T); see `forward`."""
        start = 0 if cache is None else cache.length
        end = start + ids.shape[1]
        if end > self.config.context:
            raise ValueError(f"{end} tokens do not fit into a context of {self.config.context}.")
        x = self.drop(self.wte(ids) + self.wpe.weight[start:end])  # (B, T, C)
        for layer, block in enumerate(self.h):
            x = block(x, cache, layer)
        if cache is not None:
            cache.length = end
        normed: Tensor = self.ln_f(x)
        return normed

    def unembed(self, x: Tensor) -> Tensor:
        """Logits (..., V) of vectors (..., C) that the final norm has been applied to."""
        return F.linear(x, self.wte.weight)

    def forward(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        """Logits (B, T, V) of ids (B, T); those at position t are about the token at t + 1.

        With a cache, ids are only the tokens that come after those it holds, and they are added to it.

        Raises:
            ValueError: if the tokens, with those in the cache, are more than the context.
        """
        return self.unembed(self.hidden(ids, cache))

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy in nats per token, a scalar, of targets (B, T) after ids (B, T). Targets of -100 do not count."""
        return head_cross_entropy(self.hidden(ids).flatten(0, 1), self.wte.weight, targets.flatten())
