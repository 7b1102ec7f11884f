"""The trace against Hugging Face's GPT-2, the fast path, and models whose weights were edited by hand."""

import gc
import math
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.gpt import GPT
from models.parity_check import fast_tensors
from models.trace import LAYER_NAMES, STREAMS, Trace
from models.trace_edits import Edit

SHAPE = {"layers": 3, "heads": 4, "width": 32, "context": 24, "vocab_size": 61}
IDS = [(7 * i * i + 3 * i) % 61 for i in range(19)]


@pytest.fixture(scope="module")
def model(make_model: Callable[..., GPT]) -> GPT:
    return make_model(1, **SHAPE)


@pytest.fixture(scope="module")
def trace(model: GPT) -> Trace:
    return Trace(model, IDS)


def edited(make_model: Callable[..., GPT], change: Callable[[GPT], None]) -> Tensor:
    """Logits of the fast path of the same model after its weights were changed by hand."""
    model = make_model(1, **SHAPE)
    with torch.no_grad():
        change(model)
        return model(torch.tensor([IDS]))[0]


def logits(model: GPT, *edits: Edit) -> Tensor:
    return Trace(model, IDS, edits)["logits"]


def test_streams_patterns_and_logits_are_hugging_faces(model: GPT, trace: Trace, make_twin) -> None:
    with torch.no_grad():
        out = make_twin(model)(torch.tensor([IDS]), output_hidden_states=True, output_attentions=True)
    for layer in range(3):
        assert (trace[f"blocks.{layer}.resid_pre"] - out.hidden_states[layer][0]).abs().max() <= 1e-4
        assert (trace[f"blocks.{layer}.attn.pattern"] - out.attentions[layer][0]).abs().max() <= 1e-5
    assert (trace["ln_final.out"] - out.hidden_states[3][0]).abs().max() <= 1e-4
    assert (trace["logits"] - out.logits[0]).abs().max() <= 1e-4


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


def test_values_have_the_shapes_that_are_written_down(trace: Trace) -> None:
    per_layer = {
        "resid_pre": (19, 32),
        "ln1.scale": (19, 1),
        "ln1.normalized": (19, 32),
        "ln1.out": (19, 32),
        "attn.q": (19, 4, 8),
        "attn.k": (19, 4, 8),
        "attn.v": (19, 4, 8),
        "attn.scores_raw": (4, 19, 19),
        "attn.attn_scores": (4, 19, 19),
        "attn.pattern": (4, 19, 19),
        "attn.z": (19, 4, 8),
        "attn_out": (19, 32),
        "resid_mid": (19, 32),
        "ln2.scale": (19, 1),
        "ln2.normalized": (19, 32),
        "ln2.out": (19, 32),
        "mlp.pre": (19, 128),
        "mlp.post": (19, 128),
        "mlp_out": (19, 32),
        "resid_post": (19, 32),
    }
    expected = {"embed": (19, 32), "pos_embed": (19, 32)}
    expected |= {f"blocks.{layer}.{name}": shape for layer in range(3) for name, shape in per_layer.items()}
    expected |= {"ln_final.scale": (19, 1), "ln_final.normalized": (19, 32), "ln_final.out": (19, 32), "logits": (19, 61)}
    assert {name: tuple(trace[name].shape) for name in trace.names()} == expected
    assert trace.names() == list(expected)


def test_every_number_follows_from_those_before_it(model: GPT, trace: Trace) -> None:
    # one query and one head, in plain Python floats
    block, head, query = model.h[1], 2, 5
    stream = trace["blocks.1.resid_pre"][query].double().tolist()
    mean = sum(stream) / 32
    scale = math.sqrt(sum((x - mean) ** 2 for x in stream) / 32 + 1e-5)
    assert trace["blocks.1.ln1.scale"][query].item() == pytest.approx(scale, rel=1e-5)
    gain, bias = block.ln_1.weight.tolist(), block.ln_1.bias.tolist()
    normalized = [(x - mean) / scale for x in stream]
    assert trace["blocks.1.ln1.normalized"][query].tolist() == pytest.approx(normalized, abs=1e-5)
    out = [x * g + b for x, g, b in zip(normalized, gain, bias, strict=True)]
    assert trace["blocks.1.ln1.out"][query].tolist() == pytest.approx(out, abs=1e-5)
    row = block.attn.c_attn.weight[head * 8 + 3].tolist()
    q = sum(x * w for x, w in zip(out, row, strict=True)) + block.attn.c_attn.bias[head * 8 + 3].item()
    assert trace["blocks.1.attn.q"][query, head, 3].item() == pytest.approx(q, abs=1e-5)
    queries, keys = trace["blocks.1.attn.q"][query, head].tolist(), trace["blocks.1.attn.k"][:, head].tolist()
    raw = [sum(a * b for a, b in zip(queries, key, strict=True)) for key in keys]
    assert trace["blocks.1.attn.scores_raw"][head, query].tolist() == pytest.approx(raw, abs=1e-5)
    scores = trace["blocks.1.attn.attn_scores"][head, query].tolist()
    assert scores[: query + 1] == pytest.approx([s / math.sqrt(8) for s in raw[: query + 1]], abs=1e-5)
    assert set(scores[query + 1 :]) == {-math.inf}
    powers = [math.exp(s) for s in scores[: query + 1]]
    pattern = [p / sum(powers) for p in powers] + [0.0] * (18 - query)
    assert trace["blocks.1.attn.pattern"][head, query].tolist() == pytest.approx(pattern, abs=1e-6)
    values = trace["blocks.1.attn.v"][:, head, 6].tolist()
    z = sum(p * v for p, v in zip(pattern, values, strict=True))
    assert trace["blocks.1.attn.z"][query, head, 6].item() == pytest.approx(z, abs=1e-5)
    x = trace["blocks.1.mlp.pre"][query, 9].item()
    gelu = 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    assert trace["blocks.1.mlp.post"][query, 9].item() == pytest.approx(gelu, abs=1e-6)


def test_the_lens_ends_in_the_logits(model: GPT, trace: Trace) -> None:
    assert torch.equal(trace.lens("blocks.2.resid_post"), trace["logits"])
    middle = trace.lens("blocks.1.resid_mid")
    with torch.no_grad():
        assert (middle - model.unembed(model.ln_f(trace["blocks.1.resid_mid"]))).abs().max() <= 1e-5
    assert (trace.lens("blocks.1.resid_mid", [18, 0]) - middle[[18, 0]]).abs().max() <= 1e-6
    with pytest.raises(KeyError):
        trace.lens("blocks.1.mlp_out")


def test_the_heads_add_up_to_the_attentions_output(model: GPT, trace: Trace) -> None:
    per_head = trace.head_out(1)
    assert per_head.shape == (4, 19, 32)
    assert (per_head.sum(0) + model.h[1].attn.c_proj.bias - trace["blocks.1.attn_out"]).abs().max() <= 1e-5


def test_what_is_computed_when_looked_at_is_what_the_streams_were_made_of(trace: Trace) -> None:
    for layer in (2, 0, 1):
        assert torch.equal(
            trace[f"blocks.{layer}.resid_pre"] + trace[f"blocks.{layer}.attn_out"], trace[f"blocks.{layer}.resid_mid"]
        )
        assert torch.equal(
            trace[f"blocks.{layer}.resid_mid"] + trace[f"blocks.{layer}.mlp_out"], trace[f"blocks.{layer}.resid_post"]
        )


def test_one_layers_inside_is_kept_at_a_time_where_two_are_too_large(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    trace.release()
    monkeypatch.setattr("models.trace.KEPT", 1)
    pattern = weakref.ref(trace["blocks.0.attn.pattern"])
    assert trace["blocks.0.attn.pattern"] is pattern()
    assert trace["blocks.1.attn.pattern"] is not None
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


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0])
def test_scaling_a_head_is_scaling_its_columns_of_the_output_matrix(make_model, model: GPT, scale: float) -> None:
    expected = edited(make_model, lambda model: model.h[1].attn.c_proj.weight[:, 16:24].mul_(scale))
    assert (logits(model, Edit("blocks.1.attn.z", "scale", head=2, scale=scale)) - expected).abs().max() <= 1e-4


def test_attention_off_is_its_output_matrix_and_bias_at_zero(make_model, model: GPT) -> None:
    def change(model: GPT) -> None:
        model.h[0].attn.c_proj.weight.zero_()
        model.h[0].attn.c_proj.bias.zero_()

    assert (logits(model, Edit("blocks.0.attn_out", "scale")) - edited(make_model, change)).abs().max() <= 1e-4


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_scaling_an_mlp_is_scaling_its_output_matrix_and_bias(make_model, model: GPT, scale: float) -> None:
    def change(model: GPT) -> None:
        model.h[2].mlp.c_proj.weight.mul_(scale)
        model.h[2].mlp.c_proj.bias.mul_(scale)

    assert (logits(model, Edit("blocks.2.mlp_out", "scale", scale=scale)) - edited(make_model, change)).abs().max() <= 1e-4


def test_an_mlp_at_its_mean_is_that_mean_for_a_bias(make_model, model: GPT, trace: Trace) -> None:
    def change(model: GPT) -> None:
        model.h[1].mlp.c_proj.weight.zero_()
        model.h[1].mlp.c_proj.bias.copy_(trace["blocks.1.mlp_out"].mean(0))

    assert (logits(model, Edit("blocks.1.mlp_out", "mean")) - edited(make_model, change)).abs().max() <= 1e-4


def test_a_head_at_its_mean_is_that_mean_through_its_columns_as_a_bias(make_model, model: GPT, trace: Trace) -> None:
    def change(model: GPT) -> None:
        proj = model.h[1].attn.c_proj
        proj.bias += proj.weight[:, 8:16] @ trace["blocks.1.attn.z"][:, 1].mean(0)
        proj.weight[:, 8:16] = 0.0

    assert (logits(model, Edit("blocks.1.attn.z", "mean", head=1)) - edited(make_model, change)).abs().max() <= 1e-4


def test_a_head_that_must_look_at_the_first_token_passes_on_its_value(model: GPT, trace: Trace) -> None:
    forced = Trace(model, IDS, [Edit("blocks.1.attn.pattern", "attend", head=3, key=0)])
    assert torch.equal(forced["blocks.1.attn.z"][:, 3], trace["blocks.1.attn.v"][:1, 3].expand(19, 8))
    assert torch.equal(forced["blocks.1.attn.z"][:, :3], trace["blocks.1.attn.z"][:, :3])
    assert torch.equal(forced["blocks.1.attn.attn_scores"], trace["blocks.1.attn.attn_scores"])


def test_attention_is_forced_only_where_the_key_can_be_seen(model: GPT, trace: Trace) -> None:
    pattern = Trace(model, IDS, [Edit("blocks.0.attn.pattern", "attend", head=1, key=7)])["blocks.0.attn.pattern"]
    assert torch.equal(pattern[1, :7], trace["blocks.0.attn.pattern"][1, :7])
    assert torch.equal(pattern[1, 7:], torch.eye(19)[7].expand(12, 19))
    single = Trace(model, IDS, [Edit("blocks.0.attn.pattern", "attend", position=9, key=7)])["blocks.0.attn.pattern"]
    assert torch.equal(single[:, 9], torch.eye(19)[7].expand(4, 19))
    assert torch.equal(single[:, 10:], trace["blocks.0.attn.pattern"][:, 10:])


@pytest.mark.parametrize("stream", STREAMS)
def test_the_last_stream_of_another_prompt_brings_its_prediction(model: GPT, stream: str) -> None:
    other = Trace(model, [5, 60, 4, 4, 31])
    patch = Edit(f"blocks.2.{stream}", "patch", position=18, value=tuple(other[f"blocks.2.{stream}"][4].tolist()))
    patched = Trace(model, IDS, [patch])
    assert patched[patch.name][18].tolist() == list(patch.value or ())
    if stream == "resid_pre":  # its attention still looks at this prompt
        assert (patched["logits"][18] - other["logits"][4]).abs().max() > 1e-3
    else:
        assert (patched["logits"][18] - other["logits"][4]).abs().max() <= 1e-4


@pytest.mark.parametrize(
    ("name", "head"), [("attn.z", 2), ("attn_out", None), ("mlp_out", None), *((stream, None) for stream in STREAMS)]
)
def test_a_value_patched_by_itself_changes_nothing_and_by_another_only_what_follows(
    model: GPT, trace: Trace, name: str, head: int | None
) -> None:
    name = f"blocks.1.{name}"
    value = trace[name][6, head] if head is not None else trace[name][6]
    same = Edit(name, "patch", head=head, position=6, value=tuple(value.tolist()))
    other = Edit(name, "patch", head=head, position=6, value=tuple(value.flip(0).tolist()))  # a norm would not see value + 1
    assert torch.equal(logits(model, same), trace["logits"])
    changed = (logits(model, other) - trace["logits"]).abs().amax(-1)
    assert float(changed[:6].max()) == 0.0
    assert float(changed[6]) > 1e-3


def test_edits_at_one_place_are_made_in_the_order_given(model: GPT, trace: Trace) -> None:
    double = Edit("blocks.0.mlp_out", "scale", scale=2.0, position=4)
    mean = Edit("blocks.0.mlp_out", "mean", position=3)
    plain = trace["blocks.0.mlp_out"]
    both = Trace(model, IDS, [double, mean])["blocks.0.mlp_out"]
    assert torch.allclose(both[3], (plain.sum(0) + plain[4]) / 19, atol=1e-6)
    assert torch.equal(both[4], 2 * plain[4])
    assert torch.allclose(Trace(model, IDS, [mean, double])["blocks.0.mlp_out"][3], plain.mean(0), atol=1e-6)


def test_a_patched_resid_post_is_where_the_next_layer_starts(model: GPT) -> None:
    patched = Trace(model, IDS, [Edit("blocks.0.resid_post", "patch", position=2, value=(0.5,) * 32)])
    assert torch.equal(patched["blocks.1.resid_pre"][2], torch.full((32,), 0.5))


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
    ],
)
def test_an_edit_that_cannot_be_made_says_why(model: GPT, edit: Edit, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Trace(model, IDS, [edit])
