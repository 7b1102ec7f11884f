"""The numbers of experiments on text, attention, functions and time that decide claims, by plain formulas."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lab.core.errors import UserError
from lab.views.blocks import Gallery, Matrix
from models.config import END_OF_TEXT
from models.parameter_count import kv_cache_bytes
from tests.lab.experiments.conftest import MakeTextRun, Measure, TinyRun, rows, windows, with_text
from tests.models.oracle import Oracle

Numbers = np.ndarray[Any, np.dtype[np.float64]]


def oracle(tiny: TinyRun, ids: list[int], **changed: torch.Tensor) -> Oracle:
    """A second GPT-2 with the run's weights, some of them changed."""
    return Oracle({**tiny.model.state_dict(), **changed}, tiny.model.config, ids)


def moved(p: Numbers, q: Numbers) -> Numbers:
    """Total variation over the last axis."""
    found: Numbers = np.abs(p - q).sum(-1) / 2
    return found


def pass_without(tiny: TinyRun, ids: Numbers, names: set[str]) -> float:
    """Mean loss of windows (n, T + 1) when functions of these names are straight, computed on all windows together."""
    w = {name: weight.double().numpy() for name, weight in tiny.model.state_dict().items()}
    config, n, tokens = tiny.model.config, len(ids), ids.shape[1] - 1
    x = w["wte.weight"][ids[:, :-1]] + w["wpe.weight"][:tokens]

    def norm(x: Numbers, name: str) -> Numbers:
        centred = x - x.mean(-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        found: Numbers = centred / scale * w[f"{name}.weight"] + w[f"{name}.bias"]
        return found

    for layer in range(config.layers):
        h, size = f"h.{layer}.", config.width // config.heads
        q, k, v = np.split(norm(x, f"{h}ln_1") @ w[f"{h}attn.c_attn.weight"].T + w[f"{h}attn.c_attn.bias"], 3, -1)
        z = np.zeros_like(x)
        for row in range(n):
            for head in range(config.heads):
                part = slice(head * size, (head + 1) * size)
                for t in range(tokens):
                    s = k[row, : t + 1, part] @ q[row, t, part] / math.sqrt(size)
                    weights = s - s.min() if "exp" in names else np.exp(s)
                    weights = weights / weights.sum() if weights.sum() else np.full(t + 1, 1 / (t + 1))
                    z[row, t, part] = weights @ v[row, : t + 1, part]
        x = x + z @ w[f"{h}attn.c_proj.weight"].T + w[f"{h}attn.c_proj.bias"]
        pre = norm(x, f"{h}ln_2") @ w[f"{h}mlp.c_fc.weight"].T + w[f"{h}mlp.c_fc.bias"]
        post = pre / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (pre + 0.044715 * pre**3)))
        if "gelu" in names:
            post = np.polyval(np.polyfit(pre.flatten(), post.flatten(), 1), pre)
        x = x + post @ w[f"{h}mlp.c_proj.weight"].T + w[f"{h}mlp.c_proj.bias"]
    logits = norm(x, "ln_f") @ w["wte.weight"].T
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -float(np.take_along_axis(log_p, ids[:, 1:, None].astype(int), -1).mean())


@pytest.mark.parametrize("names", [set(), {"gelu"}, {"exp"}, {"gelu", "exp"}])
def test_the_loss_without_curved_functions_is_that_of_a_plain_pass(
    names: set[str], text_run: MakeTextRun, measure: Measure
) -> None:
    tiny = text_run(context=6)
    found = measure("linear_parts", tiny).measures
    ids = windows(tiny, "validation text", int(found["tokens"]) // 6, 7)
    key = "loss" if not names else "loss_both" if len(names) == 2 else f"loss_{next(iter(names))}"
    assert found["tokens"] == ids[:, 1:].size
    assert found[key] == pytest.approx(pass_without(tiny, ids, names), abs=1e-4)
    changes = [float(found[f"loss_{name}"]) - float(found["loss"]) for name in ("gelu", "exp")]
    assert (found["largest_change"], found["least_change"]) == pytest.approx((max(changes), min(changes)))


def test_a_shift_is_a_pass_with_later_rows_of_the_position_table(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run(context=12)
    found = measure("same_weights", tiny).measures
    changes = []
    for ids in windows(tiny, "validation text", 16 * 64 // 6, 7)[:, :-1].tolist():
        later = oracle(tiny, ids, **{"wpe.weight": tiny.model.wpe.weight[6:]})
        changes.append(moved(oracle(tiny, ids).values["probability"], later.values["probability"]).mean())
    assert found["shift_change"] == pytest.approx(np.mean(changes), abs=1e-5)
    assert found["shift_error"] == pytest.approx(np.std(changes, ddof=1) / math.sqrt(len(changes)), abs=1e-5)
    assert found["windows"] == len(changes)
    assert float(found["largest_difference"]) < 1e-5
    assert found["position_parameters"] == 12 * 8


def patterns_of(tiny: TinyRun, ids: list[int]) -> list[Numbers]:
    values = oracle(tiny, ids).values
    return [values[f"blocks.{layer}.attn.pattern"] for layer in range(tiny.model.config.layers)]


def test_attention_to_the_token_before_and_mean_distance_are_those_of_the_patterns(
    text_run: MakeTextRun, measure: Measure
) -> None:
    tiny = text_run(context=8)
    result = measure("attention_distance", tiny)
    found, ids = result.measures, windows(tiny, "validation text", 256, 9)[:, :-1]
    by_layer = np.array([patterns_of(tiny, row.tolist()) for row in ids])  # (n, L, H, T, T)
    previous = np.array([[by_layer[..., t, t - 1] for t in range(1, 8)]]).mean((0, 1, 2))  # (L, H)
    distances = np.array([sum(by_layer[..., t, k] * (t - k) for k in range(t + 1)) for t in range(1, 8)]).mean((0, 1, 3))
    assert found["first_previous"] == pytest.approx(previous[0].mean(), abs=1e-5)
    assert found["best_previous"] == pytest.approx(previous[0].max(), abs=1e-5)
    assert found["first_distance"] == pytest.approx(distances[0], abs=1e-5)
    assert found["nearest_layer"] == distances.argmin() + 1
    assert found["uniform_previous"] == pytest.approx(np.mean([1 / (t + 1) for t in range(1, 8)]))
    assert found["uniform_distance"] == pytest.approx(np.mean([t / 2 for t in range(1, 8)]))


def rank_agreement(a: list[float], b: list[float]) -> float:
    ranks = [np.array([sorted(each).index(value) for value in each], float) for each in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def test_influence_is_weight_times_projected_value_along_the_answer(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run(context=8)
    found = measure("attention_and_influence", tiny).measures
    ids = windows(tiny, "validation text", 256, 9)[:, :-1]
    of_rows: list[list[float]] = []
    for row in ids:
        made = oracle(tiny, row.tolist())
        v, w = made.values, made.weights
        answer = int(v["logits"][-1].argmax())
        gain = w["ln_f.weight"] * (w["wte.weight"][answer] - w["wte.weight"].mean(0))
        for layer in range(2):
            for head in range(2):
                weights = v[f"blocks.{layer}.attn.pattern"][head, -1]
                output = w[f"h.{layer}.attn.c_proj.weight"][:, 4 * head : 4 * head + 4]
                added = [weights[key] * output @ v[f"blocks.{layer}.attn.v"][key, head] for key in range(8)]
                effects = [float((each - each.mean()) @ gain / v["ln_final.scale"][-1].item()) for each in added]
                lengths = [float(np.linalg.norm(each)) for each in added]
                sizes, top = [abs(each) for each in effects], int(weights.argmax())
                of_rows.append(
                    [
                        rank_agreement(weights.tolist(), lengths),
                        rank_agreement(weights.tolist(), sizes),
                        float(np.argmax(sizes) == top),
                        float(effects[top] < 0),
                    ]
                )
    names = ("length_agreement", "effect_agreement", "same_effect", "lowers")
    assert [found[name] for name in names] == pytest.approx(np.mean(of_rows, 0).tolist(), abs=1e-4)
    assert found["rows"] == len(of_rows)


def test_words_are_counted_and_those_of_the_validation_text_looked_up(text_run: MakeTextRun, measure: Measure) -> None:
    trained, held = ("the cat ran home " * 8 + "the dog sat down ") * 2, " the bird sat at home"
    tiny = text_run()
    parts = [len(tiny.tokenizer.encode(text)) for text in (trained, trained + held)]
    tiny = with_text(tiny, trained + held, split=(parts[0] + 0.5) / parts[1])
    found = measure("word_vocabulary", tiny).measures
    assert (found["words"], found["distinct"], found["distinct_half"]) == (72, 7, 7)
    assert (found["held_words"], found["unknown"]) == (5, 2 / 5)
    growing = with_text(tiny, " ".join("x" * n for n in range(1, 65)), split=1.0)
    found = measure("word_vocabulary", growing).measures
    assert (found["distinct"], found["distinct_half"], found["growth"]) == (64, 32, 2.0)
    long = "thé cat\n" * 60_000
    for text, words, distinct in ((long + "end", 120_001, 3), (long[:-1] + END_OF_TEXT + "end", 120_001, 3)):
        found = measure("word_vocabulary", with_text(tiny, text, split=1.0)).measures
        assert (found["words"], found["distinct"]) == (words, distinct), "no word is cut where the slices meet"
    with pytest.raises(UserError, match="no words of letters"):
        measure("word_vocabulary", with_text(tiny, "12 34 " * 40))


def entropy_after(ids: list[int], length: int, most: int) -> float:
    """Mean −ln of the share with which the token came that did come, after the same `length` tokens."""
    pairs = Counter((tuple(ids[at - length : at]), ids[at]) for at in range(most, len(ids)))
    times = Counter[tuple[int, ...]]()
    for (before, _), n in pairs.items():
        times[before] += n
    return -sum(n * math.log(n / times[before]) for (before, _), n in pairs.items()) / pairs.total()


@pytest.mark.parametrize(("context", "spans"), [(6, [1, 2, 3, 4, 5, 6]), (12, [*range(1, 9), 12, 12, 12, 12]), (1, [1])])
def test_the_floor_is_the_mean_entropy_of_what_follows_the_same_tokens(
    context: int, spans: list[int], text_run: MakeTextRun, measure: Measure
) -> None:
    tiny = text_run(context=context)
    found = measure("loss_floor", tiny).measures
    ids = np.fromfile(tiny.run.path / "tokens.bin", "<u2").tolist()[: tiny.run.config.data.split]
    assert found["floor_one"] == pytest.approx(entropy_after(ids, 1, context), abs=1e-9)
    assert found["floor_last"] == pytest.approx(entropy_after(ids, context, context), abs=1e-9)
    assert found["floor"] == pytest.approx(np.mean([entropy_after(ids, span, context) for span in spans]), abs=1e-9)
    ways = [Counter[tuple[tuple[int, ...], int]]() for _ in range(context)]
    for start in range(0, len(ids) - context, context):
        for span in range(1, context + 1):
            ways[span - 1][tuple(ids[start : start + span]), ids[start + span]] += 1
    apart = []
    for way in ways:
        times = Counter[tuple[int, ...]]()
        for (before, _), n in way.items():
            times[before] += n
        apart.append(-sum(n * math.log(n / times[before]) for (before, _), n in way.items()) / way.total())
    assert found["floor_apart"] == pytest.approx(np.mean(apart), abs=1e-9)


def test_what_is_carried_is_the_cache_of_so_many_tokens(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run(context=8)
    found, config = measure("kv_cache", tiny).measures, tiny.model.config
    assert (found["bytes_per_token"], found["bytes_last"]) == (kv_cache_bytes(config, 1), kv_cache_bytes(config, 8))
    assert found["bytes_state"] == 4 * 2 * 8


def test_the_parts_of_a_token_s_time_add_up_to_it(text_run: MakeTextRun, measure: Measure) -> None:
    result = measure("token_time", text_run())
    found = result.measures
    parts = [row[1].value or 0.0 for row in rows(result)]
    assert sum(parts) == pytest.approx(found["milliseconds"])
    assert [found[part] for part in ("embedding", "attention", "mlp", "output", "draw")] == pytest.approx(
        [part / sum(parts) for part in parts]
    )
    assert found["per_second"] == pytest.approx(1000 / float(found["milliseconds"]))


@pytest.mark.parametrize(
    ("head", "same"),
    [
        ("position before → position × 8", lambda ids, i, j: j == i - 1),
        ("position -> position * 2.5", lambda ids, i, j: j == i),
        ("token>token", lambda ids, i, j: ids[i] == ids[j]),
        ("token → token before × 8", lambda ids, i, j: j > 0 and ids[i] == ids[j - 1]),
        ("token before → token before × 8", lambda ids, i, j: i > 0 and j > 0 and ids[i - 1] == ids[j - 1]),
        ("constant → first × 8", lambda ids, i, j: j == 0),
        ("token → position × 8", lambda ids, i, j: False),
    ],
)
def test_a_built_head_s_pattern_is_the_softmax_of_its_matches_and_the_nearest_head_is_found(
    head: str, same: Callable[[list[int], int, int], bool], tiny: TinyRun, measure: Measure
) -> None:
    result = measure("built_head", tiny, "The cat. The cat. The big", inputs={"head": head})
    ids = tiny.tokenizer.encode("The cat. The cat. The big")[-16:]
    strength = float(head[-3:].strip("× *")) if head[-1].isdigit() else 1.0
    built = np.zeros((len(ids), len(ids)))
    for i in range(len(ids)):
        weights = np.exp([strength * same(ids, i, j) for j in range(i + 1)])
        built[i, : i + 1] = weights / weights.sum()
    matrix = result.view.blocks[0]
    assert isinstance(matrix, Matrix)
    assert np.nan_to_num(matrix.values.numpy()) == pytest.approx(built, abs=1e-5)
    distances = np.array([[moved(head, built)[1:].mean() for head in layer] for layer in patterns_of(tiny, ids)])
    layer, number = np.unravel_index(distances.argmin(), distances.shape)
    found = result.measures
    assert (found["nearest_layer"], found["nearest_head"]) == (layer + 1, number + 1)
    assert found["distance"] == pytest.approx(distances.min(), abs=1e-5)
    even = np.tril(np.ones_like(built)) / np.arange(1, len(ids) + 1)[:, None]
    assert found["even_distance"] == pytest.approx(moved(even, built)[1:].mean(), abs=1e-6)
    assert ("no head is more like it" in result.view.sentence) == (distances.min() >= float(found["even_distance"]))
    gallery = result.view.blocks[1]
    assert isinstance(gallery, Gallery)
    assert [each.destination and (each.destination.layer, each.destination.head) for each in gallery.thumbnails] == [
        divmod(at, 2) for at in distances.flatten().argsort(kind="stable").tolist()
    ]


@pytest.mark.parametrize("head", ["token", "token → colour × 8", "token → token × 101", "token → token × 1e9", ""])
def test_a_head_that_cannot_be_built_is_refused_with_what_there_is(head: str, tiny: TinyRun, measure: Measure) -> None:
    with pytest.raises(UserError, match=r"position before → position × 8.*To choose from: position, position before, token"):
        measure("built_head", tiny, inputs={"head": head})
