"""A token that later ones may not see, against a GPT-2 in numpy and float64 whose mask is built that way."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from models.gpt import GPT
from models.trace import Trace
from models.trace_edits import Edit

LAYERS, HEADS = 3, 4
IDS = [(7 * i * i + 3 * i) % 61 for i in range(13)]


@pytest.fixture(scope="module")
def model(make_model: Callable[..., GPT]) -> GPT:
    return make_model(4, layers=LAYERS, heads=HEADS, width=32, context=24, vocab_size=61)


def logits_where(model: GPT, sees: Callable[[int, int, int], bool]) -> np.ndarray:
    """Logits (T, V) where a query sees a key only if `sees(layer, query, key)`, nothing of the lab's trace being used."""
    w = {name: weight.detach().double().numpy() for name, weight in model.named_parameters()}

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    size = len(IDS)
    x = w["wte.weight"][IDS] + w["wpe.weight"][:size]
    for layer in range(LAYERS):
        q, k, v = np.split(linear(norm(x, f"h.{layer}.ln_1"), f"h.{layer}.attn.c_attn"), 3, axis=1)
        out = np.zeros_like(x)
        for head in range(HEADS):
            part = slice(head * 8, head * 8 + 8)
            for query in range(size):
                keys = [key for key in range(query + 1) if sees(layer, query, key)]
                weights = np.exp(k[keys][:, part] @ q[query, part] / math.sqrt(8))
                out[query, part] = weights / weights.sum() @ v[keys][:, part]
        x = x + linear(out, f"h.{layer}.attn.c_proj")
        a = linear(norm(x, f"h.{layer}.ln_2"), f"h.{layer}.mlp.c_fc")
        x = x + linear(a / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3))), f"h.{layer}.mlp.c_proj")
    logits: np.ndarray = norm(x, "ln_f") @ w["wte.weight"].T
    return logits


def hidden(key: int, position: int | None = None, layers: range = range(LAYERS)) -> list[Edit]:
    return [Edit(f"blocks.{layer}.attn.attn_scores", "hide", key=key, position=position) for layer in layers]


def test_the_oracle_is_the_model_where_nothing_is_hidden(model: GPT) -> None:
    assert np.abs(Trace(model, IDS)["logits"].numpy() - logits_where(model, lambda *_: True)).max() <= 1e-4


@pytest.mark.parametrize("keys", [(0,), (4,), (12,), (3, 4, 7)])
def test_a_hidden_token_is_seen_by_itself_alone(model: GPT, keys: tuple[int, ...]) -> None:
    trace = Trace(model, IDS, [edit for key in keys for edit in hidden(key)])
    expected = logits_where(model, lambda layer, query, key: key not in keys or query == key)
    assert np.abs(trace["logits"].numpy() - expected).max() <= 1e-4
    assert np.abs(trace["logits"].numpy() - Trace(model, IDS)["logits"].numpy()).max() > 1e-2 or keys == (12,)
    pattern = trace["blocks.1.attn.pattern"]
    for key in keys:
        assert float(pattern[:, key + 1 :, key].abs().sum()) == 0.0
    assert float((pattern.sum(-1) - 1).abs().max()) <= 1e-6


def test_a_token_may_be_hidden_from_one_query_in_one_layer(model: GPT) -> None:
    trace = Trace(model, IDS, hidden(2, position=9, layers=range(1, 2)))
    expected = logits_where(model, lambda *place: place != (1, 9, 2))
    assert np.abs(trace["logits"].numpy() - expected).max() <= 1e-4


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (Edit("blocks.0.attn.attn_scores", "hide", key=13), "position 13 cannot be hidden from later queries"),
        (Edit("blocks.0.attn.attn_scores", "hide"), "position None cannot be hidden"),
        (Edit("blocks.0.attn.attn_scores", "hide", key=3, position=3), "position 3 cannot be hidden from itself"),
        (Edit("blocks.0.attn.attn_scores", "scale"), "scale is no edit of blocks.0.attn.attn_scores"),
        (Edit("blocks.0.attn.z", "hide", key=3), "hide is no edit of blocks.0.attn.z"),
    ],
)
def test_what_cannot_be_hidden_says_why(model: GPT, edit: Edit, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Trace(model, IDS, [edit])
