"""Cross entropy in chunks, with padded rows and scaled gradients: the same loss and gradients as torch's own."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from models import chunked_cross_entropy as head
from models.config import ModelConfig
from models.gpt import GPT, autocast


def parts(dtype: torch.dtype, vocabulary: int = 67) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(11, 6, dtype=dtype, generator=generator, requires_grad=True)
    weight = torch.randn(vocabulary, 6, dtype=dtype, generator=generator, requires_grad=True)
    targets = torch.randint(vocabulary, (11,), generator=generator)
    targets[3] = targets[10] = -100
    return x, weight, targets


def test_gpt2s_vocabulary_is_padded_on_cuda_alone_and_a_chunk_there_is_whole_tiles() -> None:
    assert [head.padded_rows(*given) for given in ((50257, "cuda"), (50304, "cuda"), (50257, "cpu"))] == [50304, 50304, 50257]
    low = torch.bfloat16
    assert [head.chunk_rows(4096, vocabulary, low, "cuda") for vocabulary in (50257, 1 << 20)] == [2560, head.ROWS]


def test_chunks_of_logits_on_a_cpu_are_about_equal_and_hold_no_more_than_their_bytes() -> None:
    rows = [head.chunk_rows(2048, vocabulary, torch.bfloat16, "cpu") for vocabulary in (512, 50257, 1 << 30)]
    assert rows == [2048, 1024, 1]
    assert head.chunk_rows(2048, 50257, torch.float32, "cpu") == 512


@pytest.mark.parametrize(("multiple", "vocabulary"), [(1, 29), (64, 63), (64, 64), (64, 67)])
@pytest.mark.parametrize("chunk", [1, 2400, 2**27])
def test_loss_and_gradients_are_torchs(monkeypatch: pytest.MonkeyPatch, chunk: int, multiple: int, vocabulary: int) -> None:
    monkeypatch.setattr(head, "CHUNK", chunk)
    monkeypatch.setitem(head.MULTIPLES, "cpu", multiple)
    x, weight, targets = parts(torch.float64, vocabulary)
    loss, expected = head.chunked_cross_entropy(x, weight, targets), F.cross_entropy(x @ weight.T, targets)
    grads = torch.autograd.grad(3 * loss, (x, weight))
    assert grads[1].shape == (vocabulary, 6)
    for grad, true in zip(grads, torch.autograd.grad(3 * expected, (x, weight)), strict=True):
        assert (grad - true).abs().max() < 1e-13
    with torch.no_grad():
        assert float(head.chunked_cross_entropy(x, weight, targets)) == pytest.approx(float(expected), abs=1e-13)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_model_with_padded_rows_is_the_model(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = GPT(ModelConfig(layers=1, heads=2, width=16, context=8, vocab_size=67), seed=1)
    ids = torch.randint(67, (3, 8), generator=torch.Generator().manual_seed(0))

    def step() -> list[torch.Tensor]:
        model.zero_grad()
        with autocast(precision, "cpu"):  # type: ignore[arg-type]
            loss = model.loss(ids, ids.roll(1))
        loss.backward()  # type: ignore[no-untyped-call]
        return [loss.detach(), *(weight.grad for weight in model.parameters() if weight.grad is not None)]

    plain = step()
    monkeypatch.setitem(head.MULTIPLES, "cpu", 64)
    assert list(model.state_dict()["wte.weight"].shape) == [67, 16]
    for one, other in zip(plain, step(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=2e-3 if precision == "bf16" else 1e-5)


def test_a_scale_multiplies_the_gradients_and_not_the_loss() -> None:
    x, weight, targets = parts(torch.float64)
    plain = head.chunked_cross_entropy(x, weight, targets)
    scaled = head.chunked_cross_entropy(x, weight, targets, torch.tensor(1024.0))
    assert torch.equal(scaled, plain)
    for one, other in zip(torch.autograd.grad(plain, (x, weight)), torch.autograd.grad(scaled, (x, weight)), strict=True):
        torch.testing.assert_close(1024 * one, other)


def test_in_fp16_gradients_below_its_smallest_number_need_a_scale() -> None:
    """At a scale of 2^-14, which stands for a mean over many more tokens, those of tokens that never are the target are 0."""
    generator = torch.Generator().manual_seed(0)
    x, weight = ((0.02 * torch.randn(64, 8, generator=generator)).requires_grad_() for _ in range(2))
    targets = torch.randint(16, (64,), generator=generator)
    (exact,) = torch.autograd.grad(F.cross_entropy(x @ weight.T, targets), weight)
    found = {}
    for scale in (2.0**-14, 2.0**14):
        with autocast("fp16", "cpu"):
            loss = head.chunked_cross_entropy(x, weight, targets, torch.tensor(scale))
        (grad,) = torch.autograd.grad(loss, weight)
        found[scale] = float((grad[16:] / scale - exact[16:]).norm() / exact[16:].norm())
    assert found[2.0**-14] == 1.0
    assert found[2.0**14] < 0.01
