"""KV cache: keys and values of earlier tokens, so that one more token costs one row instead of all.

Used by sampling. A forward pass with the cache equals one over all tokens without it.
"""

import torch
from torch import Tensor

from models.config import ModelConfig


class KVCache:
    """Keys and values of every layer, with room for `context` tokens.

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
