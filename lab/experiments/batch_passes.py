"""Forward passes over a batch, layer by layer: watched and changed, or over windows of the run's text.

In the comments B is the batch, T the tokens, C the width, H the heads, D = C / H.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lab.experiments.experiment_context import Ids
from models import attention_kernels
from models.check import check
from models.config import ModelConfig
from models.gelu import gelu
from models.gpt import GPT, Block
from models.parameter_count import flops_per_token

Change = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Keys and values (B, H, T, D) of a layer, 0-based, in; those to use instead out."""


@torch.no_grad()
def embedded(model: GPT, ids: Tensor) -> Tensor:
    """The residual stream (B, T, C) that enters layer 1."""
    return model.wte(ids) + model.wpe.weight[: ids.shape[1]]  # type: ignore[no-any-return]


@torch.no_grad()
def queries_keys_values(block: Block, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v (B, H, T, D) that a layer computes from a residual stream (B, T, C)."""
    batch, tokens, width = x.shape
    heads = block.attn.heads
    qkv = block.attn.c_attn(block.ln_1(x)).view(batch, tokens, 3, heads, width // heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()
    return q, k, v


@torch.no_grad()
def hidden(model: GPT, x: Tensor, change: Change | None = None) -> Tensor:
    """The residual stream after the final norm (B, T, C) for one that enters layer 1."""
    for layer, block in enumerate(model.blocks):
        q, k, v = queries_keys_values(block, x)
        if change is not None:
            k, v = change(layer, k, v)
        x = _layer_output(block, x, q, k, v)
        check()
    normed: Tensor = model.ln_f(x)
    return normed


def attention_output(block: Block, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The output (B, T, C) of the attention of a layer."""
    z = attention_kernels.causal_attention(q, k, v, 0.0, block.attn.kernel)  # (B, H, T, D)
    out: Tensor = block.attn.c_proj(z.transpose(1, 2).flatten(2))
    return out


def _layer_output(block: Block, x: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    x = x + attention_output(block, q, k, v)
    out: Tensor = x + block.mlp(block.ln_2(x))
    return out


Part = tuple[int, int | None]
"""A layer and one of its heads, both 0-based; None is its MLP."""


@torch.no_grad()
def without_part(model: GPT, ids: Tensor, part: Part, keys_of: Part | None = None) -> Tensor:
    """The residual stream after the final norm (B, T, C) with the output of a part replaced by its mean over the positions.

    With `keys_of`, a head of a later layer, the keys of that head alone read the changed stream; all else reads the model's own.
    """
    x, change = embedded(model, ids), torch.zeros(1)
    for layer, block in enumerate(model.blocks):
        q, k, v = queries_keys_values(block, x)
        if keys_of is not None and keys_of[0] == layer:
            k[:, keys_of[1]] = queries_keys_values(block, x + change)[1][:, keys_of[1]]
        z = attention_kernels.causal_attention(q, k, v, 0.0, block.attn.kernel)  # (B, H, T, D)
        own = block.attn.c_proj(z.transpose(1, 2).flatten(2))
        if part[0] == layer and part[1] is not None:
            z[:, part[1]] = z[:, part[1]].mean(1, keepdim=True)
            change = block.attn.c_proj(z.transpose(1, 2).flatten(2)) - own
        x = x + own + (change if keys_of is None and part[0] == layer else 0)
        out = block.mlp(block.ln_2(x))
        if part == (layer, None):
            change = out.mean(1, keepdim=True) - out
        x = x + out + (change if keys_of is None and part == (layer, None) else 0)
        check()
    normed: Tensor = model.ln_f(x)
    return normed


@torch.no_grad()
def patterns(model: GPT, x: Tensor) -> Iterator[Tensor]:
    """The attention pattern (B, H, T, T) of each layer, as the model's own kernel computes it.

    The kernel returns values weighted by the pattern; with the rows of an identity matrix for values, that is the pattern itself.
    """
    for block in model.blocks:
        q, k, v = queries_keys_values(block, x)
        yield pattern(q, k, block)
        check()
        x = _layer_output(block, x, q, k, v)


@torch.no_grad()
def pattern(q: Tensor, k: Tensor, block: Block) -> Tensor:
    """The pattern (B, H, T, T) that the model's kernel applies, read off with parts of an identity matrix as values."""
    batch, heads, tokens, width = q.shape
    whole = torch.eye(tokens)
    parts = []
    for start in range(0, tokens, width):
        values = torch.zeros(tokens, width)
        columns = whole[:, start : start + width]
        values[:, : columns.shape[1]] = columns
        z = attention_kernels.causal_attention(q, k, values.expand(batch, heads, -1, -1), 0.0, block.attn.kernel)
        parts.append(z[..., : columns.shape[1]])
    return torch.cat(parts, -1)


@torch.no_grad()
def loss_of(model: GPT, normed: Tensor, targets: Tensor) -> float:
    """Mean cross entropy in nats of targets (B, T) after a residual stream (B, T, C) that the final norm has been applied to."""
    logits = model.unembed(normed).float()
    return float(cross_entropy(logits.flatten(0, 1), targets.flatten()))


TOKENS_AT_ONCE = 1024
"""Tokens that go through a layer at once: some hundredths of a second for the models that are trained on a laptop."""


def affordable_windows(config: ModelConfig, flops: float, most: int) -> int:
    """Number of windows of a whole context whose forward passes take about so many FLOPs; at least 2 and at most `most`."""
    one = flops_per_token(config) / 3 * config.context
    return max(2, min(most, int(flops / one)))


@torch.no_grad()
def losses_of(model: GPT, windows: Ids, part: Part | None = None, keys_of: Part | None = None) -> Tensor:
    """−ln p of every token but the first, (B, T), of windows (B, T + 1), float32; of a `part`, as `without_part` without it."""
    at_once = max(1, TOKENS_AT_ONCE // (windows.shape[1] - 1))
    parts = []
    for start in range(0, len(windows), at_once):
        rows = windows[start : start + at_once]
        ids = torch.from_numpy(rows[:, :-1])
        normed = without_part(model, ids, part, keys_of) if part else hidden(model, embedded(model, ids))
        for vectors, targets in zip(normed, torch.from_numpy(rows[:, 1:]), strict=True):  # (T, C), (T,)
            parts.append(cross_entropy(model.unembed(vectors), targets, reduction="none"))
        check()
    return torch.stack(parts)


@torch.no_grad()
def last_probabilities(model: GPT, windows: Ids) -> Tensor:
    """Probabilities of the token after each window, (B, V), of windows (B, T), float64."""
    at_once = max(1, TOKENS_AT_ONCE // windows.shape[1])
    parts = []
    for start in range(0, len(windows), at_once):
        normed = hidden(model, embedded(model, torch.from_numpy(windows[start : start + at_once])))
        parts.append(torch.softmax(model.unembed(normed[:, -1]).double(), -1))
        check()
    return torch.cat(parts)


SMALLEST = 1e-6
"""Added to scores above the lowest, so that the only key of the first token has weight 1."""


@torch.no_grad()
def straightened(model: GPT, ids: Tensor, names: set[str]) -> Tensor:
    """The residual stream after the final norm (B, T, C) of a pass without the curved functions of these names.

    "gelu": the straight line instead that fits it best over the numbers at hand. "exp": a weight of attention in proportion to
    the score minus the lowest of its row.
    """
    later = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).triu(1)
    x = embedded(model, ids)
    for block in model.blocks:
        q, k, v = queries_keys_values(block, x)
        if "exp" in names:
            scores = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).masked_fill(later, torch.inf)  # (B, H, T, T)
            above = (scores - scores.amin(-1, keepdim=True) + SMALLEST).masked_fill(later, 0.0)
            x = x + block.attn.c_proj((above / above.sum(-1, keepdim=True) @ v).transpose(1, 2).flatten(2))
        else:
            x = x + attention_output(block, q, k, v)
        pre = block.mlp.c_fc(block.ln_2(x))
        post = gelu(pre)
        if "gelu" in names:
            (variance, together), _ = torch.cov(torch.stack([pre.flatten(), post.flatten()]))
            post = post.mean() + together / variance.clamp(min=SMALLEST) * (pre - pre.mean())
        x = x + block.mlp.c_proj(post)
        check()
    normed: Tensor = model.ln_f(x)
    return normed
