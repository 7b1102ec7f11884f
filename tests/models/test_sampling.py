"""Sampling against Hugging Face's logits warpers, hand-computed cases and full recomputation."""

import math
from itertools import islice
from math import inf
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.config import ConfigError, ModelConfig, SamplingSettings
from models.decoding import half_matrices
from models.gpt import GPT
from models.sampling import SampledToken, distribution, draw, generate, generate_batch, top_indices, uniform


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.01, 1), (0.5, 1), (0.51, 2), (0.75, 2), (0.8, 3), (1.0, 4)],
)
def test_top_p_keeps_the_token_that_crosses_it(top_p: float, kept: int) -> None:
    logits = torch.tensor([0.125, 0.5, 0.125, 0.25], dtype=torch.float64).log()
    chosen = distribution(logits, SamplingSettings(top_p=top_p))
    assert chosen.kept.tolist() == [kept >= 3, True, kept == 4, kept >= 2]
    assert float(chosen.after.sum()) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("chosen", [{"greedy": True}, {"top_k": 1}])
def test_a_penalty_keeps_greedy_decoding_from_the_tokens_of_the_window(chosen: dict[str, Any]) -> None:
    model = GPT(ModelConfig(layers=1, heads=1, width=8, context=6, vocab_size=20), seed=0)
    written = [token.id for token in generate(model, [3], 12, SamplingSettings(repetition_penalty=1e3, **chosen))]
    for at in range(len(written)):
        window = [3, *written][max(0, at - 5) : at + 1]
        assert written[at] not in window


def test_a_penalty_writes_the_same_with_weights_in_fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their logits are moved by a number that all share, and a penalty depends on a logit's sign."""
    monkeypatch.setattr("models.decoding.ONE_THREAD_UP_TO", 0)
    monkeypatch.setattr("models.decoding.GAIN", inf)
    monkeypatch.setattr("models.decoding.FORMS", (torch.float16,))
    model = GPT(ModelConfig(layers=1, heads=1, width=8, context=32, vocab_size=20), seed=0)
    with torch.no_grad():
        model.ln_f.bias.fill_(1.0)
        model.wte.weight.add_(1.0)  # all logits are far above 0, and in fp16 their mean is taken away
    settings = SamplingSettings(repetition_penalty=1.3, greedy=True)
    halves = half_matrices(model)
    assert halves is not None
    assert list(generate(model, [3], 25, settings, halves)) == list(generate(model, [3], 25, settings))


@pytest.mark.parametrize(
    "sampling",
    [SamplingSettings(greedy=True), SamplingSettings(temperature=0.0), SamplingSettings(top_k=1), SamplingSettings(1e-308)],
)
def test_the_coldest_choice_is_the_most_probable_token(sampling: SamplingSettings) -> None:
    chosen = distribution(torch.tensor([0.0, 2.0, 1.0, 1.9]), sampling)
    assert chosen.after.tolist() == [0.0, 1.0, 0.0, 0.0]
    assert float(chosen.before[1]) == pytest.approx(math.exp(2) / (1 + math.exp(2) + math.exp(1) + math.exp(1.9)))


def test_ties_go_to_the_lower_id() -> None:
    logits = torch.tensor([1.0, 3.0, 3.0, 3.0])
    assert distribution(logits, SamplingSettings(top_k=2)).kept.tolist() == [False, True, True, False]
    assert distribution(logits, SamplingSettings(greedy=True)).kept.tolist() == [False, True, False, False]


@pytest.mark.parametrize("logits", [[math.nan, 1.0], [math.inf, 1.0], [-math.inf, -math.inf]])
def test_logits_of_a_diverged_model_are_refused(logits: list[float]) -> None:
    with pytest.raises(ValueError, match="diverged"):
        distribution(torch.tensor(logits), SamplingSettings())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("temperature", value) for value in (-0.1, math.nan, math.inf)),
        *(("top_p", value) for value in (0.0, 1.1, math.nan)),
        *(("min_p", value) for value in (-0.1, 1.1, math.nan)),
        *(("repetition_penalty", value) for value in (0.9, math.inf, math.nan)),
        *(("top_k", -1), ("seed", -1), ("seed", 2**64)),
    ],
)
def test_settings_out_of_range_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name.replace("_", "[- ]") + ".*must"):
        SamplingSettings(**{name: value})


@pytest.mark.parametrize(("seed", "position"), [(0, 0), (1, 0), (0, 1), (2**64 - 1, 1_000_000)])
def test_the_random_number_is_numpys_philox(seed: int, position: int) -> None:
    assert uniform(seed, position) == np.random.Generator(np.random.Philox(key=seed, counter=position)).random()


def test_draw_hits_each_token_as_often_as_its_probability_says() -> None:
    after = torch.tensor([0.1, 0.0, 0.4, 0.1, 0.4], dtype=torch.float64)
    drawn = [draw(after, (i + 0.5) / 1000) for i in range(1000)]
    assert drawn == [2] * 400 + [4] * 400 + [0] * 100 + [3] * 100  # the largest first, ties by id
    assert draw(after, 0.0) == 2
    assert draw(after, 1 - 2**-53) == 3


def recomputed(model: GPT, ids: list[int], n: int, sampling: SamplingSettings) -> list[SampledToken]:
    """Generation without a cache: the whole window for every token, and the logits of the model's plain forward pass."""
    sequence, drawn = list(ids), []
    for _ in range(n):
        with torch.no_grad():
            logits: Tensor = model(torch.tensor([sequence[-model.config.context :]]))[0, -1]
        u = uniform(sampling.seed, len(sequence))
        token = draw(distribution(logits, sampling).after, u)
        drawn.append(SampledToken(token, float(logits.double().softmax(-1)[token]), u))
        sequence.append(token)
    return drawn


@pytest.mark.parametrize(
    "sampling",
    [SamplingSettings(greedy=True), SamplingSettings(seed=3), SamplingSettings(temperature=0.8, top_k=9, top_p=0.9, seed=4)],
    ids=repr,
)
@pytest.mark.parametrize("given_tokens", [1, 7, 16, 21])
def test_generation_is_full_recomputation_within_and_past_the_context(
    make_model, sampling: SamplingSettings, given_tokens: int
) -> None:
    model = make_model(9)
    ids = [(5 * i) % 23 for i in range(given_tokens)]
    cached, full = list(generate(model, ids, 24, sampling)), recomputed(model, ids, 24, sampling)
    assert [(token.id, token.u) for token in cached] == [(token.id, token.u) for token in full]
    assert max(abs(one.probability - other.probability) for one, other in zip(cached, full, strict=True)) < 1e-5


def test_a_model_in_training_is_handed_back_as_it_was(make_model) -> None:
    model = make_model(12)
    model.train()
    list(islice(generate(model, [1], 9, SamplingSettings()), 3))
    assert model.training
    with pytest.raises(ValueError, match="at least one token"):
        next(generate(model, [], 1, SamplingSettings()))


def test_the_few_largest_are_those_of_a_full_sort_ties_and_all() -> None:
    generator = torch.Generator().manual_seed(0)
    for most in (1, 5, 40):
        values = torch.randint(30, (700,), generator=generator).double().numpy()  # many ties, also at the last place
        assert top_indices(values, most).tolist() == sorted(range(700), key=lambda i: (-float(values[i]), i))[:most]


def test_a_draw_among_many_tokens_is_that_of_a_full_sort() -> None:
    after = torch.randn(2000, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).softmax(-1)
    order = sorted(range(2000), key=lambda i: (-float(after[i]), i))
    ends = after[order].cumsum(-1)
    for u in [i / 500 for i in range(500)] + [1 - 2**-53]:
        assert draw(after, u) == order[min(int((ends <= u * float(after.sum())).sum()), 1999)]


def test_top_p_of_many_tokens_keeps_what_a_full_sort_keeps() -> None:
    for spread in (0.0, 1.0, 8.0):
        logits = spread * torch.randn(3000, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        chances = logits.softmax(-1)
        order = sorted(range(3000), key=lambda i: (-float(chances[i]), i))
        for top_p in (0.05, 0.5, 0.99, 1 - 1e-9):
            kept = distribution(logits, SamplingSettings(top_p=top_p)).kept
            n = int((chances[order].cumsum(-1) - chances[order] < top_p).sum())
            assert sorted(order[:n]) == kept.nonzero().flatten().tolist()


def test_matrices_in_bf16_write_nearly_what_fp32_says(make_model) -> None:
    exact, low = (make_model(13, layers=3, width=32, heads=4, context=40, vocab_size=61) for _ in range(2))
    low.cast_matrices_to_bf16()
    assert {name for name, weight in low.state_dict().items() if weight.dtype == torch.float32} == {
        name for name in low.state_dict() if ".ln_" in f".{name}" or name.startswith("wpe")
    }
    ids = [3, 1, 4, 1, 5]
    given = list(generate(exact, ids, 30, SamplingSettings(greedy=True)))
    written = [*ids, *(token.id for token in given)]
    for at, token in enumerate(given):
        first = next(generate(low, written[: 5 + at], 1, SamplingSettings(greedy=True)))
        with torch.no_grad():
            chances = exact(torch.tensor([written[: 5 + at]]))[0, -1].double().softmax(-1)
        assert float(chances[first.id]) > 0.8 * token.probability


@pytest.mark.parametrize("given_tokens", [1, 12, 21])
def test_texts_written_together_are_those_written_one_by_one(make_model, given_tokens: int) -> None:
    model = make_model(14)
    ids = [(5 * i) % 23 for i in range(given_tokens)]
    samplings = [SamplingSettings(seed=3), SamplingSettings(greedy=True), SamplingSettings(temperature=0.7, top_k=5, seed=9)]
    together = list(generate_batch(model, ids, 12, samplings))
    for column, sampling in zip(zip(*together, strict=True), samplings, strict=True):
        alone = list(generate(model, ids, 12, sampling))
        assert [token.id for token in column] == [token.id for token in alone]
        assert max(abs(one.probability - other.probability) for one, other in zip(column, alone, strict=True)) < 1e-5
