"""Probes and steering against planted answers, closed forms and Hugging Face."""

from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from lab.core.errors import UserError
from lab.experiments.layer_streams import chance_directions
from lab.experiments.linear_probe import FOLDS, control_classes, fit, folds_of, majority, probe
from lab.experiments.probes import streams
from lab.experiments.token_properties import NONE, PROPERTIES, labels
from lab.inspect.interventions import Intervention
from models.gpt import GPT
from models.tokenizers.tokenizer import Tokenizer
from models.trace import Trace
from tests.lab.engine.conftest import InProcessEngine
from tests.lab.experiments.conftest import MakeTextRun, Measure, rows, windows
from tests.models.conftest import make_model as shared_model
from tests.models.conftest import make_twin as shared_twin

make_model, make_twin = shared_model, shared_twin

PLACES, WIDTH, CLASSES = 2000, 16, 3


def planted(strength: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Vectors of noise with a direction for each class, the directions, the classes and the windows' numbers."""
    draws = torch.Generator().manual_seed(0)
    classes = torch.randint(CLASSES, (PLACES,), generator=draws)
    directions = torch.randn(CLASSES, WIDTH, generator=draws)
    noise = torch.randn(PLACES, WIDTH, generator=draws)
    return noise + strength * directions[classes], directions, classes, torch.arange(PLACES) // 20


def test_a_probe_finds_what_was_planted_and_nothing_in_noise() -> None:
    for strength, is_found in ((3.0, True), (0.0, False)):
        vectors, directions, classes, windows = planted(strength)
        folds = folds_of(windows)
        control = control_classes(classes, torch.arange(PLACES), seed=1)
        found = probe(vectors, classes, control, folds)
        base = majority(classes, folds)
        assert (min(found.right) > 0.95) == is_found
        assert (min(found.right) > max(base)) == is_found
        assert fmean(found.control) < 0.45  # each place has a token of its own: its class by chance cannot be told
        if is_found:
            weights, _ = fit(vectors, classes, CLASSES)
            between = weights[:, 0] - weights[:, 1]
            cosine = torch.cosine_similarity(between, directions[0] - directions[1], dim=0)
            assert cosine > 0.9


def test_of_something_rare_the_likeliest_places_are_asked_about() -> None:
    vectors, directions, _, windows = planted(0.0)
    rare = (torch.rand(PLACES, generator=torch.Generator().manual_seed(2)) < 0.02).long()
    folds = folds_of(windows)
    for strength, right in ((6.0, 0.9), (0.0, 0.0)):
        found = probe(vectors + strength * rare[:, None] * directions[0], rare, rare[torch.randperm(PLACES)], folds, is_rare=True)
        assert fmean(found.right) == pytest.approx(right, abs=0.1)
        assert fmean(found.control) < 0.1
        assert fmean(majority(rare, folds)) > 0.97, "which whoever always says no gets right"


def test_its_weights_are_those_of_ridge_regression() -> None:
    vectors, _, classes, _ = planted(1.0)
    weights, bias = fit(vectors.double(), classes, CLASSES)
    x = vectors.double().numpy()
    scaled = (x - x.mean(0)) / x.std(0, ddof=1)
    y = np.eye(CLASSES)[classes.numpy()]
    stacked = np.vstack([scaled / np.sqrt(PLACES), np.sqrt(1e-3) * np.eye(WIDTH)])
    wanted = np.linalg.lstsq(stacked, np.vstack([(y - y.mean(0)) / np.sqrt(PLACES), np.zeros((WIDTH, CLASSES))]), rcond=None)[0]
    said = scaled @ wanted + y.mean(0)
    assert np.abs((vectors.double() @ weights + bias).numpy() - said).max() < 1e-6


def test_a_window_is_in_one_fold_and_a_token_has_one_control_class() -> None:
    windows = torch.arange(100).repeat_interleave(7)
    folds = folds_of(windows)
    assert sorted(set(folds.tolist())) == list(range(FOLDS))
    assert all(len(folds[windows == window].unique()) == 1 for window in range(100))
    ids = torch.arange(700) % 13
    control = control_classes(torch.tensor([0, 0, 0, 1]), ids, seed=3)
    assert all(len(control[ids == id_].unique()) == 1 for id_ in range(13))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("space next", [0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0, NONE]),
        ("first letter of the word", [0, 0, NONE, 1, 1, NONE, NONE, 2, NONE, NONE, 3, NONE]),
        ("letters of the word so far", [1, 2, 0, 1, 2, 0, 0, 1, 0, 0, 1, 0]),
        ("place in the line", [NONE] * 6 + [0] * 6),
        ("inside quotes", [NONE] * 5 + [0, 0, 0, 0, 1, 1, 0]),
    ],
)
def test_properties_of_a_small_text(name: str, wanted: list[int]) -> None:
    classes_of, class_names = PROPERTIES[name]
    found = classes_of(list('Ab Bc\n c "D"'))
    assert found == wanted
    assert max(found) < len(class_names)


def test_a_pattern_marks_the_tokens_of_its_matches_and_a_wrong_or_slow_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.experiments.token_properties.PATTERN_SECONDS", 0.05)
    tokenizer = Tokenizer.bytes_()
    ids = np.array([tokenizer.encode("a12 b3, ")])
    assert labels("pattern", ids, tokenizer, r"\d+")[0].tolist() == [[0, 1, 1, 0, 0, 1, 0, 0]]
    for pattern, words in (
        ("(", "no regular expression: missing"),
        ("", "Type a regular expression"),
        ("(?a)(?u)x", "no regular expression: ASCII"),
        ("a" * 501, "has 501 characters; type one of at most 500"),
        ("(" * 500, "nested too deeply"),
        ("(?:a{100}b){1000}", "repeats things more than 10,000 times"),
    ):
        with pytest.raises(UserError, match=words) as refused:
            labels("pattern", ids, tokenizer, pattern)
        assert len(str(refused.value)) < 100, "a long pattern is not repeated"
    slow = np.array([tokenizer.encode("a" * 64 + "!")])
    with pytest.raises(UserError, match="takes too long"):
        labels("pattern", slow, tokenizer, "(a|aa)+$")
    two = labels("token two back", np.array([[5, 6, 5, 7, 5]]), tokenizer)[0]
    assert two[0, :2].tolist() == [NONE, NONE]
    assert two[0, 2] == two[0, 4] != two[0, 3]


def test_its_streams_are_the_trace_s(make_model: Any) -> None:
    model: GPT = make_model(1, layers=2, heads=2, width=16, context=16, vocab_size=31)
    ids = [3, 14, 15, 9, 2]
    trace = Trace(model, ids)
    found = dict(streams(model, torch.tensor([ids])))
    names = {"embeddings": "blocks.0.resid_pre", "attention 2": "blocks.1.resid_mid", "MLP 1": "blocks.0.resid_post"}
    for name, traced in names.items():
        assert (found[name][0] - trace[traced]).abs().max() < 1e-5
    assert list(found) == ["embeddings", "attention 1", "MLP 1", "attention 2", "MLP 2"]


def test_where_a_token_is_its_own_next_place_a_probe_reads_it_and_the_course_of_a_training_is_told(
    text_run: MakeTextRun, measure: Measure
) -> None:
    run = text_run(width=16, context=32)
    found = measure("probe_layers", run, inputs={"property": "space next"})
    assert 0 <= found.measures["majority"] <= found.measures["best"] + 0.2 <= 1.2
    assert len(rows(found)) == 2 * run.model.config.layers + 2
    course = measure("probe_over_training", run, inputs={"property": "space next"})
    assert "no snapshots" in course.missing
    with pytest.raises(UserError, match="no property called"):
        measure("probe_layers", run, inputs={"property": "colour"})


def test_a_direction_raises_what_it_leads_to_and_others_by_chance_are_its_control(
    text_run: MakeTextRun, measure: Measure
) -> None:
    run = text_run(width=16, context=32)
    found = measure("steering", run, layer=1, inputs={"toward": "token dog"})
    kept = found.measures
    assert kept["raised_after"] > kept["raised_before"]
    assert kept["loss_other_low"] <= kept["loss_other"] <= kept["loss_other_high"]
    losses = {row[0].text: row[1].value for row in rows(found)}
    assert losses["0"] == kept["loss"]
    assert losses["out"] == kept["loss_out"]
    for toward, words in (("", "with | between"), ("a | a", "the same vector"), ("probe space next: red", "has no class")):
        with pytest.raises(UserError, match=words):
            measure("steering", run, layer=1, inputs={"toward": toward})


def test_the_cost_of_directions_is_the_loss_of_a_model_with_a_hook(text_run: MakeTextRun, engine: InProcessEngine) -> None:
    run = text_run(width=16, context=32)
    word = Intervention(part="resid_post", how="steer", layer=0, factor=-3.0, toward="token a")
    found = engine.cost(interventions=(word, Intervention(part="mlp_out", how="off", layer=1)))
    rows_ = torch.from_numpy(windows(run, "validation text", 4096 // 32, 33))
    unit = run.model.wte.weight[run.tokenizer.encode("a")[-1]]
    losses = list[torch.Tensor]()
    for factor in (0.0, -3.0):

        def change(_: Any, __: Any, out: torch.Tensor, factor: float = factor) -> torch.Tensor:
            return out + factor * out[:, 1:].norm(dim=-1).mean() * unit / unit.norm()

        handle = run.model.blocks[0].register_forward_hook(change)
        with torch.no_grad():
            logits = run.model(rows_[:, :-1])
        handle.remove()
        losses.append(torch.nn.functional.cross_entropy(logits.mT, rows_[:, 1:], reduction="none").mean(1))
    assert (found.before, found.after) == pytest.approx([float(each.mean()) for each in losses], abs=1e-5)
    assert found.error == pytest.approx(float((losses[1] - losses[0]).std()) / len(rows_) ** 0.5, rel=1e-3)
    assert found.low < found.high
    nothing = engine.cost(interventions=(replace(word, factor=0.0),))
    assert nothing.before == nothing.after == nothing.low == nothing.high


def test_what_no_loss_depends_on_is_found_and_not_used(text_run: MakeTextRun, measure: Measure) -> None:
    run = text_run(width=16, context=32)
    run.model.ln_f.weight.data.zero_()  # every prediction is that of the bias, whatever the stream holds
    kept = measure("probe_use", run).measures
    assert kept["cost_probe"] == kept["cost_mean"] == kept["cost_chance"] == kept["cost_error"] == 0
    assert kept["is_used"] is False
    steered_ = measure("steering", run, inputs={"toward": "token dog"}).measures
    assert steered_["cost_plus"] == 0
    assert steered_["loss_other_low"] == steered_["loss_other_high"] == steered_["loss"]


def test_directions_by_chance_lie_where_the_stream_varies() -> None:
    stream = torch.randn(4, 50, WIDTH, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.0] * (WIDTH // 2))
    found = chance_directions(stream, seed=1)
    assert torch.allclose(found.norm(dim=-1), torch.ones(len(found)))
    assert found[:, 1::2].abs().max() == 0
