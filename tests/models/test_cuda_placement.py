"""Attention on a device that is no CPU: the meta device stands for a GPU, whose tensors have strides and a type, no values."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from models.config import ModelConfig
from models.gpt import Attention

CONFIG = ModelConfig(layers=2, heads=2, width=16, context=8, vocab_size=67, dropout=0.1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_attention_in_training_is_the_flash_kernels_case(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Causal without a mask, in 16 bits, with heads of at most 256 numbers, next to each other."""
    asked: list[tuple[Any, dict[str, Any]]] = []
    attention = F.scaled_dot_product_attention

    def spy(*arguments: Any, **options: Any) -> Any:
        asked.append((arguments, options))
        return attention(*arguments, **options)

    monkeypatch.setattr("models.attention_kernels.F.scaled_dot_product_attention", spy)
    with torch.device("meta"):
        layer = Attention(CONFIG).to(dtype).train()
        out = layer(torch.empty(3, 8, 16, dtype=dtype), None, 0)
    assert out.shape == (3, 8, 16)
    ((arguments, options),) = asked
    assert options == {"dropout_p": 0.1, "is_causal": True}
    for x in arguments:
        assert x.dtype == dtype
        assert x.stride(-1) == 1
        assert x.shape == (3, 2, 8, 8)
