"""GELU by a sigmoid: the values and slopes of torch's tanh form, in every type and over its blocks."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from models import gelu as module
from models.gelu import gelu

ROUNDING = {torch.float64: 1e-14, torch.float32: 2e-6, torch.bfloat16: 2**-7}


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("shape", [(1,), (7, 11), (3, 5, 8)])
def test_values_and_slopes_are_those_of_torchs_tanh_form(
    dtype: torch.dtype, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 16)
    monkeypatch.setattr(module, "FEW", 1)
    x = (4 * torch.randn(shape, generator=torch.Generator().manual_seed(0))).to(dtype).requires_grad_()
    exact = x.detach().double().requires_grad_()
    found, expected = gelu(x), F.gelu(exact, approximate="tanh")
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, atol=ROUNDING[dtype], rtol=ROUNDING[dtype])
    (slope,) = torch.autograd.grad(3 * found.sum(), x)
    (true,) = torch.autograd.grad(3 * expected.sum(), exact)
    torch.testing.assert_close(slope.double(), true, atol=3 * ROUNDING[dtype], rtol=ROUNDING[dtype])


def test_ends_are_0_and_the_number_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEW", 1)
    x = torch.tensor([-1e4, -30.0, 0.0, 30.0, 1e4], requires_grad=True)
    found = gelu(x)
    (slope,) = torch.autograd.grad(found.sum(), x)
    assert found.tolist() == [0.0, 0.0, 0.0, 30.0, 10_000.0]
    assert slope.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_a_transposed_view_is_read_in_its_own_order_and_without_a_slope_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEW", 1)
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(gelu(x.T), F.gelu(x.T, approximate="tanh"))
    assert torch.equal(gelu(x.T), gelu(x.T.requires_grad_()))
