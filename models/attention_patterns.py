"""Attention patterns of a batch of sequences, recorded by hooks during the model's own forward pass."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from models.attention_kernels import causal_mask
from models.gpt import GPT


@torch.inference_mode()
def hidden_with_patterns(model: GPT, ids: Tensor, each: Callable[[int, Tensor], None]) -> Tensor:
    """The residual stream after the final norm, (B, T, C), of ids (B, T). `each` gets each layer and its pattern (B, H, T, T).

    In evaluation mode and in the weights' own precision; the model is left in the mode that it was in. Draws no random numbers.
    """
    heads, width = model.config.heads, model.config.head_width
    batch, tokens = ids.shape

    def keep(layer: int) -> Callable[[Any, Any, Tensor], None]:
        def hook(_: Any, __: Any, qkv: Tensor) -> None:
            q, k, _ = qkv.view(batch, tokens, 3, heads, width).permute(2, 0, 3, 1, 4).unbind()  # each (B, H, T, D)
            scores = q @ k.transpose(-1, -2) / math.sqrt(width) + causal_mask(tokens, tokens, q)  # (B, H, T, T)
            each(layer, scores.softmax(-1))

        return hook

    hooks = [block.attn.c_attn.register_forward_hook(keep(layer)) for layer, block in enumerate(model.blocks)]
    was_training = model.training
    model.eval()
    try:
        return model.hidden(ids)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
