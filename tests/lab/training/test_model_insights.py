"""Measurements inside the model: against numpy, a trace and attention made by hand, and without a trace in training."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lab.analysis.insight_sentences import scores_sentence, strongest_head, uniform_score
from lab.data.token_file import TokenFile, token_dtype
from lab.runs.metrics_log import LineReader
from lab.runs.run_folder import Run
from lab.runs.run_schema import HEAD_SCORES, Insight
from lab.training.model_insights import (
    PLACES,
    ModelInsights,
    UpdateNorms,
    head_scores,
    parts_of,
    probe_place,
    repeats,
    spread_places,
    stripes,
)
from models.config import ModelConfig, SamplingSettings
from models.gpt import GPT
from models.optimizers import make_optimizer
from models.sampling import distribution
from models.tokenizers.tokenizer import Tokenizer
from models.trace import Trace
from tests.fixture_types import TinyRun

CONFIG = ModelConfig(layers=2, heads=3, width=24, context=24, vocab_size=50, dropout=0.2)


def insights_of(run: Run) -> ModelInsights:
    return ModelInsights(run.config, TokenFile(run.tokens_path, token_dtype(256)), Tokenizer.load(run.tokenizer_path))


def as_written(found: list[Insight]) -> list[dict[str, object]]:
    """Without the time that it took, which depends on the machine."""
    return [{name: getattr(line, name) for name in line.__struct_fields__ if name != "took"} for line in found]


def with_large_weights(model: GPT, factor: float) -> GPT:
    """Its patterns are far from even."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(factor)
    return model


def looking_at(r: int, offset: Callable[[int], int]) -> torch.Tensor:
    """A pattern (1, 1, 2r, 2r) that pays everything to one token: query t to key `offset(t)`."""
    pattern = torch.zeros(1, 1, 2 * r, 2 * r)
    for t in range(2 * r):
        pattern[0, 0, t, max(0, offset(t))] = 1.0
    return pattern


def test_a_perfect_head_of_each_kind_scores_one_and_nothing_elsewhere_and_even_attention_what_chance_is_said_to_be() -> None:
    r = 5
    heads = {
        "previous": looking_at(r, lambda t: t - 1),
        "duplicate": looking_at(r, lambda t: t - r if t >= r else t),
        "induction": looking_at(r, lambda t: t - r + 1 if t >= r else t),
    }
    for place, name in enumerate(HEAD_SCORES):
        scores = stripes(heads[name])[:, 0].tolist()
        assert scores[place] == 1.0
        assert [score for at, score in enumerate(scores) if at != place] == [0.0, 0.0]
    for r in (2, 5, 32):
        even = torch.ones(2 * r, 2 * r).tril()
        even = (even / even.sum(-1, keepdim=True))[None, None]
        assert stripes(even)[:, 0].tolist() == pytest.approx([uniform_score(meter, r) for meter in HEAD_SCORES], rel=1e-5)


def test_scores_are_those_of_the_trace_s_patterns_summed_in_numpy() -> None:
    model = with_large_weights(GPT(CONFIG, seed=3), 8.0)
    ids = repeats(np.arange(5, 45), CONFIG.context, seed=11)
    assert ids is not None
    r = ids.shape[1] // 2
    assert (r, len(ids)) == (12, 8)
    expected = np.zeros((3, CONFIG.layers, CONFIG.heads))
    for row in ids:
        trace = Trace(model, row.tolist())
        for layer in range(CONFIG.layers):
            pattern = trace[f"blocks.{layer}.attn.pattern"].numpy().astype(np.float64)
            for head in range(CONFIG.heads):
                a = pattern[head]
                expected[0, layer, head] += np.mean([a[t, t - 1] for t in range(1, 2 * r)]) / len(ids)
                expected[1, layer, head] += np.mean([a[t, t - r] for t in range(r, 2 * r)]) / len(ids)
                expected[2, layer, head] += np.mean([a[t, t - r + 1] for t in range(r, 2 * r)]) / len(ids)
    assert expected.max() > 2 * expected.min()
    np.testing.assert_allclose(head_scores(model, torch.from_numpy(ids)).numpy(), expected, atol=1e-5)


def test_the_sequences_are_different_tokens_that_occur_each_seen_twice() -> None:
    occurring = np.array([3, 8, 9, 20, 77])
    ids = repeats(occurring, 64, seed=1)
    assert ids is not None
    assert ids.shape == (8, 10)
    assert all(sorted(row[:5]) == occurring.tolist() and row[:5].tolist() == row[5:].tolist() for row in ids)
    assert len({tuple(row) for row in ids}) > 1
    assert np.array_equal(ids, repeats(occurring, 64, seed=1))  # type: ignore[arg-type]
    assert not np.array_equal(ids, repeats(occurring, 64, seed=2))  # type: ignore[arg-type]
    assert repeats(np.array([3]), 64, seed=1) is None
    assert repeats(occurring, 3, seed=1) is None


def test_the_probe_ends_where_the_next_token_stands_in_it_already() -> None:
    ids = np.array([9, 1, 2, 9, 3, 4, 5, 6, 1, 2, 7, 8])
    assert probe_place(ids, 8, {1}) == (1, 9), "1 is followed by 2 as before"
    assert probe_place(ids, 8, {4}) == (0, 8), "there is no such place"
    assert probe_place(np.array([5, 6]), 8, {5}) == (0, 1)
    for most in (1, 2, 3):
        assert probe_place(ids, most, {1, 2}) == (0, most), "a context too short for any repetition"


def test_measuring_leaves_training_as_it_was(tiny_run: TinyRun) -> None:
    run = tiny_run()
    model = GPT(run.config.model, seed=1).train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    measured = insights_of(run)
    found, again = measured.measure(model, 3, []), measured.measure(model, 3, [])
    assert torch.equal(torch.rand(4), expected), "no random number was drawn"
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert not model.h[0].attn.c_attn._forward_hooks  # type: ignore[union-attr]
    assert as_written([found]) == as_written([again])


def test_the_probe_is_what_the_model_says(tiny_run: TinyRun) -> None:
    run = tiny_run()
    tokenizer = Tokenizer.load(run.tokenizer_path)
    model = GPT(run.config.model, seed=1)
    found = insights_of(run).measure(model, 0, [])
    ids = tokenizer.encode("".join(found.probe).replace("␊", "\n").replace("␣", " "))
    trace = Trace(model, ids)
    p = trace["logits"][-1].double().softmax(-1).numpy()
    best = p.argsort()[::-1][:8]
    assert [value for _, value in found.top] == pytest.approx(p[best].tolist(), rel=1e-3)
    assert found.truth_probability == pytest.approx(p[tokenizer.encode(found.truth.replace("␣", " "))[0]], rel=1e-3)
    assert found.pattern[0][1] == pytest.approx(trace["blocks.0.attn.pattern"][1, -1].tolist(), abs=1e-4)
    assert found.truth in found.probe


def test_a_model_of_nan_gives_no_measurements(tiny_run: TinyRun) -> None:
    run = tiny_run()
    model = GPT(run.config.model, seed=1)
    with torch.no_grad():
        model.wte.weight.fill_(math.nan)
    found = insights_of(run)
    assert as_written([found.measure(model, 2, [])]) == as_written([Insight(step=2, took=0.0)])


def test_gradients_and_changes_are_those_of_each_part() -> None:
    model = with_large_weights(GPT(CONFIG, seed=3), 8.0)
    parts = parts_of(model)
    assert sum(len(weights) for weights in parts.values()) == len(list(model.parameters()))
    optimizer = make_optimizer(model, 0.01)
    ids = torch.randint(50, (2, 9), generator=torch.Generator().manual_seed(1))
    model.loss(ids[:, :-1], ids[:, 1:]).backward()  # type: ignore[no-untyped-call]
    grads = {name: weight.grad.double().numpy().copy() for name, weight in model.named_parameters() if weight.grad is not None}
    before = {name: weight.detach().double().numpy().copy() for name, weight in model.named_parameters()}
    update = UpdateNorms(model)
    total = float(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01))
    optimizer.step()
    found = {each.part: each for each in update.after_step()}
    assert list(found) == ["embedding", "positions", "1 attention", "1 MLP", "2 attention", "2 MLP", "final norm"]
    assert math.sqrt(sum(each.grad_norm**2 for each in found.values())) == pytest.approx(total, rel=1e-3)
    names = (
        "h.1.ln_2.weight",
        "h.1.ln_2.bias",
        *(f"h.1.mlp.{part}.{kind}" for part in ("c_fc", "c_proj") for kind in ("weight", "bias")),
    )
    assert found["2 MLP"].grad_norm == pytest.approx(math.sqrt(sum((grads[name] ** 2).sum() for name in names)), rel=1e-3)
    matrices = ("h.1.mlp.c_fc.weight", "h.1.mlp.c_proj.weight")
    after = {name: weight.detach().double().numpy() for name, weight in model.named_parameters()}
    change = math.sqrt(sum(((after[name] - before[name]) ** 2).sum() for name in matrices))
    size = math.sqrt(sum((before[name] ** 2).sum() for name in matrices))
    assert found["2 MLP"].ratio == pytest.approx(change / size, rel=1e-3)
    assert found["final norm"].ratio is None


def test_a_line_an_evaluation_has_the_norms_of_its_step(straight: Run) -> None:
    found = LineReader(straight.insights_path, Insight).read()
    assert [line.step for line in found] == [0, 10, 20, 30]
    norms = {metric.step: metric.grad_norm for metric in straight.metrics().read()}
    for line in found[1:]:
        assert math.sqrt(sum(each.grad_norm**2 for each in line.parts)) == pytest.approx(norms[line.step], rel=1e-3)
    assert not found[0].parts


def test_words_name_the_strongest_head_and_what_it_does() -> None:
    scores = {"previous": [[0.1, 0.5], [0.1, 0.1]], "duplicate": [[0.0, 0.0], [0.0, 0.0]], "induction": [[0.0, 0.1], [0.61, 0.0]]}
    words = scores_sentence(1200, 32, scores)  # type: ignore[arg-type]
    assert words.startswith("An induction head has formed: at step 1,200 head 2.1 pays 61.0% of its attention to the token that")
    assert "(spread evenly: 2.1%)" in words
    assert "Head 1.2 attends to the previous token (50.0%)" in words
    scores["induction"] = [[0.0, 0.1], [0.0, 0.0]]
    assert scores_sentence(9, 32, scores).startswith("A weak induction head: at step 9 head 1.2 pays 10.0%")  # type: ignore[arg-type]
    scores["induction"] = [[0.02, 0.03], [0.0, 0.0]]
    assert scores_sentence(9, 32, scores).startswith("No induction head at step 9: even the most similar, head 1.2, pays 3.0%")  # type: ignore[arg-type]
    assert strongest_head("previous", [[0.5, 0.5]]).head == 0


def test_places_are_the_first_letters_of_even_parts_with_room_before_them() -> None:
    ids = np.array([1, 1, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0])
    assert spread_places(ids, 4, 4, {1}) == [5, 6, 9], "parts begin at 4, 6, 8 and 10; the last has no letter"
    assert spread_places(ids, 4, 1, {1}) == [5]
    assert spread_places(ids, 12, 4, {1}) == []
    assert spread_places(np.array([], np.int64), 0, 4, {1}) == []


def test_a_place_s_prediction_is_that_of_a_trace(tiny_run: TinyRun) -> None:
    run = tiny_run()
    model = with_large_weights(GPT(run.config.model, seed=1), 4.0)
    tokens = TokenFile(run.tokens_path, token_dtype(256))
    found = insights_of(run).measure(model, 0, []).places
    assert len(found) == PLACES
    validation = tokens[run.config.data.split : run.config.data.tokens].astype(np.int64)
    given = len(found[0].before)
    letters = {id for id in set(validation.tolist()) if chr(id).isalpha()}
    stops = spread_places(validation, given, PLACES, letters)
    for place, stop in zip(found, stops, strict=True):
        p = Trace(model, validation[stop - given : stop].tolist())["logits"][-1].double().softmax(-1).numpy()
        assert place.truth == chr(validation[stop])
        assert place.truth_probability == pytest.approx(p[validation[stop]], rel=2e-3)
        assert [value for _, value in place.top] == pytest.approx(np.sort(p)[::-1][:8].tolist(), rel=2e-3)
    assert len({place.truth_probability for place in found}) > 1


class OnApple(Tensor):
    """A tensor that refuses what torch's MPS refuses."""

    def double(self, *_: Any, **__: Any) -> Tensor:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")

    def to(self, *arguments: Any, **named: Any) -> Tensor:
        if torch.float64 in (*arguments, *named.values()):
            self.double()
        return super().to(*arguments, **named)

    def cpu(self, *_: Any, **__: Any) -> Tensor:
        return self.as_subclass(Tensor)


def test_what_is_measured_and_sampled_is_widened_on_the_cpu(tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_run()
    model = GPT(run.config.model, seed=1)
    insights = insights_of(run)
    expected = insights.measure(model, 1, [])
    unembed = GPT.unembed
    monkeypatch.setattr(GPT, "unembed", lambda self, x: unembed(self, x).as_subclass(OnApple))
    found = insights.measure(model, 1, [])
    assert (found.top, found.places) == (expected.top, expected.places)
    assert found.top
    assert found.places
    logits = torch.tensor([0.5, -1.0, 2.0])
    drawn = distribution(logits.as_subclass(OnApple), SamplingSettings())
    assert torch.equal(drawn.after, distribution(logits, SamplingSettings()).after)
