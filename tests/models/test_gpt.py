"""The model against closed forms and finite differences; against Hugging Face's GPT-2 it is held beside the import and export."""

import math
from dataclasses import replace
from math import inf

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from models import attention_kernels, decoding
from models.attention_kernels import causal_attention
from models.config import ModelConfig
from models.decoding import OneTokenDecoder, half_matrices, precision_of, supports_decode
from models.gpt import GPT, KVCache
from tests.models.conftest import random_ids

ODD = {"layers": 4, "heads": 3, "width": 48, "context": 150, "vocab_size": 512}


def test_gradients_are_the_slopes_of_the_loss(make_model) -> None:
    model = make_model(4, layers=2, heads=2, width=4, context=5, vocab_size=7).double()
    ids, targets = random_ids(model, 2, 5, 1), random_ids(model, 2, 5, 2)
    targets[1, 0] = -100
    model.loss(ids, targets).backward()
    step = 1e-5
    for name, weight in model.named_parameters():
        direction = torch.randn(weight.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                weight += sign * step * direction
                losses.append(float(model.loss(ids, targets)))
                weight -= sign * step * direction
        slope = (losses[0] - losses[1]) / (2 * step)
        assert float((weight.grad * direction).sum()) == pytest.approx(slope, rel=1e-6, abs=1e-9), name


def test_bfloat16_stays_near_float32(make_model) -> None:
    model = make_model(5, **ODD)
    ids, targets = random_ids(model, 2, 150, 1), random_ids(model, 2, 150, 2)
    loss = model.loss(ids, targets)
    grads = torch.autograd.grad(loss, list(model.parameters()))
    with torch.autocast("cpu", torch.bfloat16):
        low_loss = model.loss(ids, targets)
    low_grads = torch.autograd.grad(low_loss, list(model.parameters()))
    assert low_loss.item() == pytest.approx(loss.item(), rel=5e-3)
    assert low_loss.dtype == torch.float32
    flat, low_flat = (torch.cat([grad.flatten() for grad in part]) for part in (grads, low_grads))
    assert float(F.cosine_similarity(flat, low_flat, dim=0)) > 0.995


@pytest.mark.parametrize(("queries", "keys"), [(7, 7), (1, 7), (3, 7)])
def test_plain_attention_is_torchs_fused_one(monkeypatch: pytest.MonkeyPatch, queries: int, keys: int) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 5, generator=generator) for n in (queries, keys, keys))
    fused = causal_attention(q, k, v)
    plain = causal_attention(q, k, v, dropout=1e-12)  # dropout takes the plain way, and so rarely that it changes nothing
    low = causal_attention(q.bfloat16(), k.bfloat16(), v.bfloat16())
    monkeypatch.setattr(attention_kernels, "PLAIN_UP_TO", 0)
    assert (fused - plain).abs().max() < 1e-6
    assert (fused - low).abs().max() < 2e-2
    assert (fused - causal_attention(q.bfloat16(), k.bfloat16(), v.bfloat16())).abs().max() < 2e-2


def test_initial_weights_have_gpt2s_statistics() -> None:
    model = GPT(ModelConfig(layers=3, heads=2, width=96, context=64, vocab_size=400), seed=7)
    for name, weight in model.state_dict().items():
        if name.endswith("bias"):
            assert bool((weight == 0).all()), name
        elif ".ln_" in f".{name}":
            assert bool((weight == 1).all()), name
        else:
            std = 0.02 / math.sqrt(2 * 3) if name.endswith("c_proj.weight") else 0.02
            n = weight.numel()  # the sample's deviation errs by std / sqrt(2n), its mean by std / sqrt(n)
            assert float(weight.std()) == pytest.approx(std, abs=4.5 * std / math.sqrt(2 * n)), name
            assert abs(float(weight.mean())) < 4.5 * std / math.sqrt(n), name


def test_the_seed_alone_decides_the_initial_weights() -> None:
    config = ModelConfig(layers=1, heads=1, width=4, context=4, vocab_size=5)
    torch.manual_seed(1)
    one = GPT(config, seed=3)
    state = torch.get_rng_state()
    two = GPT(config, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.wte.weight, GPT(config, seed=4).wte.weight)


def test_dropout_keeps_the_mean_and_is_off_outside_training() -> None:
    ones = torch.ones(4, 8, 50, 1)
    out = causal_attention(ones[:, :, :1], ones[:, :, :1], ones[:, :, :1], dropout=0.5)  # one key: either dropped, or doubled
    assert set(out.flatten().tolist()) == {0.0, 2.0}
    model = GPT(replace(ModelConfig(layers=1, heads=1, width=8, context=8, vocab_size=9), dropout=0.5))
    ids = random_ids(model, 1, 8)
    assert not torch.equal(model(ids), model(ids))
    model.eval()
    assert torch.equal(model(ids), model(ids))


@pytest.mark.parametrize("pieces", [[16], [1] * 16, [5, 1, 1, 6, 3]], ids=["at once", "one by one", "in pieces"])
def test_a_cache_changes_nothing(make_model, pieces: list[int]) -> None:
    model = make_model(8)
    ids = random_ids(model, 2, 16)
    cache = KVCache(model.config, batch=2)
    with torch.inference_mode():
        parts = [model(piece, cache) for piece in ids.split(pieces, dim=1)]
        assert (torch.cat(parts, 1) - model(ids)).abs().max() < 1e-5
    assert cache.length == 16


@pytest.mark.parametrize(("one_thread_up_to", "halves", "most"), [(10**9, False, 1e-5), (0, False, 1e-5), (0, True, 2e-2)])
def test_one_token_at_a_time_of_one_sequence_is_what_the_whole_model_says(
    make_model, monkeypatch: pytest.MonkeyPatch, one_thread_up_to: int, halves: bool, most: float
) -> None:
    monkeypatch.setattr("models.decoding.ONE_THREAD_UP_TO", one_thread_up_to)
    monkeypatch.setattr("models.decoding.GAIN", inf)
    monkeypatch.setattr("models.decoding.FORMS", (torch.float16,))
    model = make_model(8)
    ids = random_ids(model, 1, 16)
    cache = KVCache(model.config)
    with torch.inference_mode():
        parts = [model(ids[:, :3], cache)[0]]
        one = OneTokenDecoder(model, cache, half_matrices(model) if halves else None)
        parts += [one.logits(token)[None] for token in ids[0, 3:].tolist()]
        found, whole = torch.cat(parts), model(ids)[0]
        if halves:  # up to a number that all logits share
            found, whole = found - found.mean(1, keepdim=True), whole - whole.mean(1, keepdim=True)
        assert (found - whole).abs().max() < most * whole.std()
        assert cache.length == 16
        with pytest.raises(ValueError, match="17 tokens do not fit into a context of 16"):
            one.logits(0)
    assert (supports_decode(model, 1), supports_decode(model, 2)) == (True, False)
    model.cast_matrices_to_bf16()
    assert not supports_decode(model, 1)
    assert half_matrices(model) is None


@pytest.mark.parametrize(
    ("seconds", "divergence", "form"),
    [
        ((1.0, 0.4, 0.4), 1e-5, "fp16"),
        ((1.0, 0.4, 0.3), 1e-5, "bf16"),
        ((1.0, 2.1, 0.7), 1e-5, "bf16"),
        ((1.0, 0.9, 0.85), 1e-5, "fp32"),
        ((1.0, 0.2, 0.2), 0.1, "fp32"),
    ],
)
def test_the_quickest_form_is_used_that_predicts_as_fp32_does(
    make_model, monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, ...], divergence: float, form: str
) -> None:
    monkeypatch.setattr("models.decoding.ONE_THREAD_UP_TO", 0)
    times = iter(seconds)
    trial = decoding._trial
    monkeypatch.setattr("models.decoding._trial", lambda model, halves: (next(times), trial(model, halves)[1]))
    if divergence > decoding.MOST_DIVERGENCE:
        monkeypatch.setattr("models.decoding._divergence", lambda exact, logits: divergence)
    assert precision_of(half_matrices(make_model())) == form


def test_a_divergence_is_that_of_the_worst_token() -> None:
    exact, other = torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([[5.0, 5.0], [1.0, 0.0]])
    p = 1 / (1 + math.exp(-1.0))
    assert decoding._divergence(exact, other) == pytest.approx(-0.5 * (math.log(2 * p) + math.log(2 * (1 - p))), rel=1e-5)


def test_the_number_of_threads_changes_no_logit_in_fp16(make_model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.decoding.ONE_THREAD_UP_TO", 0)
    monkeypatch.setattr("models.decoding.GAIN", inf)
    monkeypatch.setattr("models.decoding.FORMS", (torch.float16,))
    model = make_model(3, width=256, heads=4, vocab_size=3000)
    halves, before, found = half_matrices(model), torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            cache = KVCache(model.config)
            one = OneTokenDecoder(model, cache, halves)
            found.append(torch.stack([one.logits(token) for token in range(12)]))
    torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_more_tokens_than_the_context_are_refused(make_model) -> None:
    model = make_model()
    with pytest.raises(ValueError, match="17 tokens do not fit into a context of 16"):
        model(random_ids(model, 1, 17))
    cache = KVCache(model.config)
    with torch.no_grad():
        model(random_ids(model, 1, 16), cache)
        with pytest.raises(ValueError, match="17 tokens"):
            model(random_ids(model, 1, 1), cache)
