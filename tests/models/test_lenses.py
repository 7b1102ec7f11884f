"""Lenses against finite differences, a linear model whose answer is known, and a rotation that was planted."""

import itertools

import pytest
import torch

from models.gpt import GPT
from models.lenses import Lens, divergence, final_logits, jacobian_lenses, ridge_lens, streams, tuned_lens
from models.trace import Trace
from tests.models.conftest import MakeModel

TOKENS = 3
SIGNS = torch.tensor(list(itertools.product((1.0, -1.0), repeat=TOKENS)))
"""Every choice of signs: over all of them, what comes from other places cancels exactly."""


def linear(model: GPT, layers: int) -> GPT:
    """The model with attention that adds nothing and MLPs that add their bias alone: every layer only shifts the stream."""
    with torch.no_grad():
        for block in model.blocks[:layers]:
            for part in (block.attn.c_proj, block.mlp.c_proj):
                part.weight.zero_()
            block.attn.c_proj.bias.zero_()
    return model


def test_the_streams_are_the_trace_s(make_model: MakeModel) -> None:
    model, ids = make_model(1), [3, 14, 15, 9, 2]
    trace, found = Trace(model, ids), streams(model, torch.tensor([ids]))
    for name, stream in zip(["blocks.0.resid_pre", "blocks.0.resid_post", "blocks.1.resid_post"], found, strict=True):
        assert (stream[0] - trace[name]).abs().max() < 1e-5
    assert (final_logits(model, found[-1])[0] - trace["logits"]).abs().max() < 1e-4


def test_the_jacobian_is_that_of_finite_differences_at_the_same_place(make_model: MakeModel) -> None:
    model = make_model(3, layers=2, width=8).double()
    ids = torch.tensor([[3, 14, 15]])
    lenses = jacobian_lenses(model, ids.expand(len(SIGNS), -1), SIGNS.double())
    with torch.no_grad():
        for layer, lens in enumerate(lenses):
            stream, wanted, step = streams(model, ids)[layer], torch.zeros(8, 8, dtype=torch.float64), 1e-5
            for place, i in itertools.product(range(TOKENS), range(8)):
                ends = []
                for by in (step, -step):
                    x = stream.clone()
                    x[0, place, i] += by
                    for block in model.blocks[layer:]:
                        x = block(x, None, 0)
                    ends.append(x[0, place])
                wanted[:, i] += (ends[0] - ends[1]) / (2 * step) / TOKENS
            assert (lens.matrix - wanted).norm() < 1e-3 * wanted.norm()


def test_where_layers_add_one_vector_the_jacobian_is_1_and_the_tuned_lens_the_model(make_model: MakeModel) -> None:
    model = linear(make_model(4, layers=2, vocab_size=29), layers=2)
    ids = torch.randint(29, (64, 16), generator=torch.Generator().manual_seed(0))
    lenses = jacobian_lenses(model, ids[:4], torch.ones(4, 16))
    found = [each.flatten(0, 1) for each in streams(model, ids)]
    last, shift = found[-1], model.blocks[1].mlp.c_proj.bias.detach()
    for lens in lenses:
        assert (lens.matrix - torch.eye(8)).abs().max() < 1e-5
    exact, final = Lens(torch.eye(8), shift), final_logits(model, last)
    with torch.no_grad():
        assert divergence(final, exact.logits(model, found[1])).max() < 1e-5
    normed = torch.nn.functional.layer_norm(last, (8,))
    ridge = ridge_lens(normed, last)
    assert (normed @ ridge.matrix.T + ridge.bias - normed).abs().max() < 0.01
    tuned = tuned_lens(model, found[1], last, steps=200)
    with torch.no_grad():
        assert divergence(final, tuned.logits(model, found[1])).mean() < 1e-3
    assert (found[0] + sum(block.mlp.c_proj.bias for block in model.blocks) - last).abs().max() < 1e-5


def test_a_rotation_before_the_last_layer_is_found_by_the_tuned_lens_alone_on_text_it_has_not_seen(make_model: MakeModel) -> None:
    model = linear(make_model(5, layers=2, heads=2, width=16, vocab_size=29), layers=2)
    q, _ = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(1)))
    last = streams(model, torch.randint(29, (256, 16), generator=torch.Generator().manual_seed(2)))[-1].flatten(0, 1)
    found, (fitted, held_out) = last @ q, (slice(0, 3072), slice(3072, None))
    final = final_logits(model, last[held_out])
    with torch.no_grad():
        plain = divergence(final, final_logits(model, found[held_out])).mean()
        ridge = divergence(final, ridge_lens(found[fitted], last[fitted]).logits(model, found[held_out])).mean()
    tuned = tuned_lens(model, found[fitted], last[fitted], steps=40)
    with torch.no_grad():
        left = divergence(final, tuned.logits(model, found[held_out])).mean()
    assert left < ridge < plain / 10
    assert left < plain / 50


def test_the_divergence_is_torch_s_own() -> None:
    draws = torch.Generator().manual_seed(0)
    final, read = torch.randn(7, 11, generator=draws), torch.randn(7, 11, generator=draws)
    wanted = torch.nn.functional.kl_div(read.log_softmax(-1), final.softmax(-1), reduction="none").sum(-1)
    assert torch.allclose(divergence(final, read), wanted, atol=1e-6)
    assert divergence(final, final).tolist() == pytest.approx([0.0] * 7, abs=1e-6)
