"""The trace and its edits against Hugging Face's GPT-2, the fast path, and a second GPT-2 in numpy."""

import gc
import weakref
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from models.check import check, checked_by
from models.config import ModelConfig
from models.gpt import GPT
from models.trace import LAYER_NAMES, STREAMS, Trace, fast_tensors
from models.trace_edits import Edit
from tests.given_up import given_up_at
from tests.models.oracle import Oracle

SHAPE = {"layers": 3, "heads": 4, "width": 32, "context": 24, "vocab_size": 61}
IDS = [(7 * i * i + 3 * i) % 61 for i in range(19)]


@pytest.fixture(scope="module")
def model(make_model: Callable[..., GPT]) -> GPT:
    return make_model(1, **SHAPE)


@pytest.fixture(scope="module")
def trace(model: GPT) -> Trace:
    return Trace(model, IDS)


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("tokens", [1, 2, 24])
def test_the_trace_is_the_fast_path(make_model, seed: int, tokens: int) -> None:
    model = make_model(seed, **SHAPE)
    ids = [(11 * i + seed) % 61 for i in range(tokens)]
    trace, fast = Trace(model, ids), fast_tensors(model, ids)
    for name, value in fast.items():
        assert trace[name].shape == value.shape, name
        assert (trace[name] - value).abs().max() <= 1e-4, name
    assert set(trace.names()) - set(fast) == {"pos_embed", "ln_final.scale", "ln_final.normalized"} | {
        f"blocks.{layer}.{name}"
        for layer in range(3)
        for name in (
            *("ln1.scale", "ln1.normalized", "ln2.scale", "ln2.normalized"),
            *("attn.scores_raw", "attn.attn_scores", "attn.pattern"),
        )
    }
    assert list(fast_tensors(model, ids, ["blocks.1.attn.z"])) == ["blocks.1.attn.z"]


def oracle_of(model: GPT, edits: Sequence[Edit] = ()) -> Oracle:
    return Oracle(model.state_dict(), model.config, IDS, tuple(edits))


HIDDEN = [Edit(f"blocks.{layer}.attn.attn_scores", "hide", key=4) for layer in range(3)]
VECTOR = tuple((-1.0) ** i * i / 16 for i in range(32))
DOUBLE, MEAN = Edit("blocks.0.mlp_out", "scale", scale=2.0, position=4), Edit("blocks.0.mlp_out", "mean", position=3)
EDITS: list[list[Edit]] = [
    [],
    *([Edit("blocks.1.attn.z", "scale", head=2, scale=scale)] for scale in (0.0, 0.5, 2.0)),
    [Edit("blocks.0.attn_out", "scale")],
    *([Edit("blocks.2.mlp_out", "scale", scale=scale)] for scale in (0.0, -1.0)),
    [Edit("blocks.1.mlp_out", "mean")],
    [Edit("blocks.1.attn.z", "mean", head=1)],
    [Edit("blocks.1.attn.pattern", "attend", head=3, key=0)],
    [Edit("blocks.0.attn.pattern", "attend", head=1, key=7)],
    [Edit("blocks.0.attn.pattern", "attend", position=9, key=7)],
    [Edit("blocks.1.attn.z", "patch", head=2, position=6, value=VECTOR[:8])],
    *([Edit(f"blocks.1.{name}", "patch", position=6, value=VECTOR)] for name in ("attn_out", "mlp_out", *STREAMS)),
    [DOUBLE, MEAN],
    [MEAN, DOUBLE],
    HIDDEN,
    [Edit("blocks.0.attn.attn_scores", "hide", key=18), *HIDDEN[1:2]],
    [Edit("blocks.1.attn.attn_scores", "hide", key=2, position=9)],
]


@pytest.mark.parametrize("edits", EDITS, ids=lambda edits: " ".join(f"{edit.name}-{edit.action}" for edit in edits) or "none")
def test_every_value_with_and_without_edits_is_the_oracles(model: GPT, edits: list[Edit]) -> None:
    found, oracle = Trace(model, IDS, edits), oracle_of(model, edits)
    before = [f"{name}.before" for name in {edit.name for edit in edits}]
    for name in (*found.names(), *before):
        expected = oracle.values[name][:, None] if name.endswith("scale") else oracle.values[name]
        assert found[name].shape == expected.shape, name
        np.testing.assert_allclose(found[name].numpy(), expected, rtol=1e-4, atol=1e-5, err_msg=name)
    assert len(found.names()) == 2 + 3 * len(LAYER_NAMES) + 4


def test_the_lens_ends_in_the_logits(model: GPT, trace: Trace) -> None:
    assert torch.equal(trace.lens("blocks.2.resid_post"), trace["logits"])
    middle = trace.lens("blocks.1.resid_mid")
    with torch.no_grad():
        assert (middle - model.unembed(model.ln_f(trace["blocks.1.resid_mid"]))).abs().max() <= 1e-5
    assert (trace.lens("blocks.1.resid_mid", [18, 0]) - middle[[18, 0]]).abs().max() <= 1e-6
    with pytest.raises(KeyError):
        trace.lens("blocks.1.mlp_out")


def test_the_parts_add_up_whenever_they_are_looked_at(model: GPT, trace: Trace) -> None:
    for layer in (2, 0, 1):
        block = f"blocks.{layer}."
        assert torch.equal(trace[f"{block}resid_pre"] + trace[f"{block}attn_out"], trace[f"{block}resid_mid"])
        assert torch.equal(trace[f"{block}resid_mid"] + trace[f"{block}mlp_out"], trace[f"{block}resid_post"])
    per_head = trace.head_out(1)
    assert per_head.shape == (4, 19, 32)
    assert (per_head.sum(0) + model.h[1].attn.c_proj.bias - trace["blocks.1.attn_out"]).abs().max() <= 1e-5


@pytest.mark.parametrize("kept", [1, 2])
def test_of_large_layers_the_insides_of_one_are_kept_or_of_as_many_as_was_said(
    kept: int, model: GPT, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = Trace(model, IDS)
    trace.kept_layers = kept
    monkeypatch.setattr("models.trace.KEPT", 1)
    pattern = weakref.ref(trace["blocks.0.attn.pattern"])
    assert trace["blocks.0.attn.pattern"] is pattern()
    for layer in range(1, kept + 1):
        gc.collect()
        assert pattern() is not None
        assert trace[f"blocks.{layer}.attn.pattern"] is not None
    gc.collect()
    assert pattern() is None


def test_the_layers_looked_at_last_are_kept_within_the_limit(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    trace.release()
    monkeypatch.setattr("models.trace.KEPT", 2.5 * sum(trace[f"blocks.0.{name}"].numel() for name in LAYER_NAMES))
    patterns = {layer: weakref.ref(trace[f"blocks.{layer}.attn.pattern"]) for layer in (0, 1)}
    assert trace["blocks.0.attn.pattern"] is patterns[0]()
    assert trace["blocks.2.attn.pattern"] is not None
    gc.collect()
    assert patterns[0]() is not None
    assert patterns[1]() is None, "the one looked at longest ago makes room"
    trace.release()
    gc.collect()
    assert patterns[0]() is None


@pytest.mark.parametrize("name", ["blocks.3.attn.q", "blocks.0.attn.hook_q", "blocks.0", "", "ln_final"])
def test_an_unknown_name_is_a_key_error(trace: Trace, name: str) -> None:
    with pytest.raises(KeyError):
        trace[name]


def test_a_trace_neither_needs_nor_leaves_gradients_nor_uses_dropout(model: GPT, trace: Trace) -> None:
    model.train()
    assert torch.equal(Trace(model, IDS)["logits"], trace["logits"])
    assert not any(trace[name].requires_grad for name in trace.names())
    model.eval()


@pytest.mark.parametrize("ids", [[], [0] * 25])
def test_a_prompt_of_no_tokens_or_too_many_is_refused(model: GPT, ids: list[int]) -> None:
    with pytest.raises(ValueError, match="from 1 to 24 tokens"):
        Trace(model, ids)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (Edit("blocks.3.mlp_out", "scale"), "cannot be edited in a model of 3 layers"),
        (Edit("blocks.0.attn.q", "scale"), "cannot be edited"),
        (Edit("blocks.0.attn.z", "scale", head=4), "has no head 4"),
        (Edit("blocks.0.mlp_out", "scale", head=0), "has no head 0"),
        (Edit("blocks.0.mlp_out", "mean", position=19), "position 19 is not in a prompt of 19 tokens"),
        (Edit("blocks.0.mlp_out", "attend", key=0), "attend is no edit of blocks.0.mlp_out"),
        (Edit("blocks.0.attn.pattern", "scale"), "scale is no edit of blocks.0.attn.pattern"),
        (Edit("blocks.0.attn.pattern", "attend", position=3, key=4), "position 3 cannot attend to position 4"),
        (Edit("blocks.0.attn.pattern", "attend"), "cannot attend to position None"),
        (Edit("blocks.0.resid_mid", "patch", value=(0.0,) * 32), "needs a position"),
        (Edit("blocks.0.attn.z", "patch", position=0, value=(0.0,) * 8), "needs a position and a head"),
        (Edit("blocks.0.attn.z", "patch", head=0, position=0, value=(0.0,) * 32), "needs 8 numbers"),
        (Edit("blocks.0.attn.attn_scores", "hide", key=19), "position 19 cannot be hidden from later queries"),
        (Edit("blocks.0.attn.attn_scores", "hide"), "position None cannot be hidden"),
        (Edit("blocks.0.attn.attn_scores", "hide", key=3, position=3), "position 3 cannot be hidden from itself"),
        (Edit("blocks.0.attn.attn_scores", "scale"), "scale is no edit of blocks.0.attn.attn_scores"),
        (Edit("blocks.0.attn.z", "hide", key=3), "hide is no edit of blocks.0.attn.z"),
    ],
)
def test_an_edit_that_cannot_be_made_says_why(model: GPT, edit: Edit, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Trace(model, IDS, [edit])


def test_in_the_pass_of_the_fast_path_nobody_is_let_in_and_it_can_be_given_up() -> None:
    """Another pass through the same model would call its hooks, too."""
    model, ids = GPT(ModelConfig(layers=2, heads=2, width=8, context=8, vocab_size=20), seed=1), [3, 1, 4]
    expected = fast_tensors(model, ids)
    let_in: list[None] = []
    with checked_by(lambda: None, lambda: let_in.append(None)):
        found = fast_tensors(model, ids)
        assert not let_in
        check()
    assert len(let_in) == 1
    assert all(bool((found[name] == value).all()) for name, value in expected.items())
    for number in range(1, 5):
        with given_up_at(number):
            fast_tensors(model, ids)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
