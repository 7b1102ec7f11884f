"""Our dropout against its definition, and attention on a device that is no CPU."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from models.attention_kernels import Dropout, fast_dropout
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_numbers_are_dropped_as_often_as_asked_and_the_others_scaled(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    x = torch.ones(400, 301, dtype=dtype)
    y = fast_dropout(x, p)
    assert y.dtype == dtype
    assert y.unique().tolist() == [0.0, torch.tensor(1 / (1 - p), dtype=dtype).item()]
    deviation = math.sqrt(p * (1 - p) / y.numel())
    assert abs((y == 0).double().mean().item() - p) < 5 * deviation
    for dim in (0, 1):  # no row and no column is treated otherwise than the rest
        shares = (y == 0).double().mean(dim)
        assert (shares - p).abs().max() < 6 * math.sqrt(p * (1 - p) / x.shape[dim])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.3])
def test_half_precision_scales_by_the_exact_factor_and_rounds_only_the_result(p: float, dtype: torch.dtype) -> None:
    """A factor that is rounded itself would move the mean: 1 / 0.9 is 1.1094 in bf16."""
    torch.manual_seed(5)
    x = torch.rand(300_000).to(dtype).requires_grad_()
    y = fast_dropout(x, p)
    kept = y != 0
    assert torch.equal(y[kept], (x.detach()[kept].float() / (1 - p)).to(dtype))
    factors = y[kept].double() / x.detach()[kept].double()
    assert float(factors.detach().mean()) == pytest.approx(1 / (1 - p), rel=1e-4)
    gradient = torch.rand(300_000).to(dtype)
    y.backward(gradient)  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert torch.equal(x.grad, torch.where(kept, (gradient.float() / (1 - p)).to(dtype), torch.zeros((), dtype=dtype)))


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(2)
    zero = (fast_dropout(torch.ones(400_000), 0.3) == 0).double()
    for lag in (1, 2, 3, 4, 8):
        both = (zero[:-lag] * zero[lag:]).mean().item()
        assert abs(both - 0.09) < 0.004


def test_the_mask_follows_from_the_seed_and_is_the_gradient() -> None:
    x = torch.randn(7, 9, requires_grad=True)  # 63 numbers: no multiple of what the generator gives at a time
    torch.manual_seed(3)
    first = fast_dropout(x, 0.4)
    torch.manual_seed(3)
    assert torch.equal(fast_dropout(x, 0.4), first)
    assert not torch.equal(fast_dropout(x, 0.4), first)
    first.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.where(first == 0, 0.0, torch.tensor(1 / 0.6)))
    assert torch.equal(first, x * x.grad)


def test_a_strided_input_is_dropped_by_place() -> None:
    x = torch.arange(1.0, 25.0).view(4, 6)
    torch.manual_seed(4)
    turned = fast_dropout(x.T, 0.5)
    torch.manual_seed(4)
    assert torch.equal(turned, fast_dropout(x.T.contiguous(), 0.5))


def test_nothing_is_dropped_at_zero_or_when_the_model_is_used() -> None:
    x = torch.randn(5, 5)
    assert torch.equal(fast_dropout(x, 0.0), x)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert not torch.equal(Dropout(0.5).train()(x), x)
