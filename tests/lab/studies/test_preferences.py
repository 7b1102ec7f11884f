"""The study of preferences: the judge's rule, the reward model and its training, a tiny run, and the result that ships."""

import random

import pytest
import torch

from lab.studies import preferences
from lab.studies.preferences import RewardModel, Sizes, accuracy, judge_pairs, judged, points, sample
from lab.studies.study_job import Line, Record, Rows, StudyHistory, recorded_seeds
from models.config import ModelConfig
from models.gpt import GPT


def small_model(seed: int = 3) -> GPT:
    return GPT(ModelConfig(layers=1, heads=2, width=16, context=16, vocab_size=len(preferences.WORDS)), seed=seed)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("a kind small dog .", 1.0),
        ("a kind gentle happy dog .", 3.0),
        ("a kind kind kind dog .", 1.0 - 2.0),
        ("a rude mean dog .", -2.0),
        ("a kind small cat .", 1.0 - 2.0),
        ("a kind small dog", 1.0 - 2.0),
        ("a kind gentle happy brave clever small old dog .", 5.0 - 1.5),
        (".", -2.0),
    ],
)
def test_the_judges_points_follow_the_rule_that_the_lesson_tells(answer: str, expected: float) -> None:
    assert points(answer.split(), "dog") == expected
    assert judged((preferences.prompt_of("dog"), [preferences.WORDS.index(word) for word in answer.split()])) == expected


def test_the_score_is_the_heads_mean_where_the_answers_words_are_written() -> None:
    reward = RewardModel(small_model())
    torch.nn.init.normal_(reward.head.weight, generator=torch.Generator().manual_seed(1))
    examples = sample(reward.gpt, ["dog", "fox", "dog"], torch.Generator().manual_seed(2))
    examples.append((examples[0][0], examples[0][1][:2]))
    with torch.no_grad():
        found = reward(examples)
        for (prompt, answer), score in zip(examples, found.tolist(), strict=True):
            hidden = reward.gpt.hidden(torch.tensor([prompt + answer]))[0]
            places = [float(hidden[at] @ reward.head.weight[0]) for at in range(len(prompt) - 1, len(prompt) + len(answer) - 1)]
            assert abs(score - sum(places) / len(places)) < 1e-5
        reward.mean, reward.deviation = 0.5, 2.0
        assert torch.allclose(reward.scores(examples), (found - 0.5) / 2)


def test_sampled_answers_end_once_and_are_of_the_models_distribution() -> None:
    model, count = small_model(), 4000
    examples = sample(model, ["dog"] * count, torch.Generator().manual_seed(1))
    end = preferences.WORDS.index(preferences.END)
    assert all(len(answer) <= preferences.MOST_WORDS and end not in answer[:-1] for _, answer in examples)
    with torch.no_grad():
        p = model(torch.tensor([preferences.prompt_of("dog")]))[0, -1].softmax(-1)
    first = torch.bincount(torch.tensor([answer[0] for _, answer in examples]), minlength=len(p)) / count
    assert float((first - p).abs().max()) < 5 * (0.25 / count) ** 0.5


def test_the_judge_mostly_follows_its_rule_and_never_meets_a_tie() -> None:
    pairs = judge_pairs(small_model(), 200, random.Random(1), torch.Generator().manual_seed(1))
    differences = [judged(pair.chosen) - judged(pair.other) for pair in pairs]
    assert len(pairs) == 200
    assert 0 not in differences
    assert 0.8 < sum(difference > 0 for difference in differences) / 200 < 1
    reward = RewardModel(small_model())
    torch.nn.init.normal_(reward.head.weight)
    expected = sum(bool(reward([pair.chosen]) > reward([pair.other])) for pair in pairs) / 200
    assert abs(accuracy(reward, pairs) - expected) < 0.011


def test_a_run_of_it_draws_every_view_and_its_answers_are_those_of_the_curves() -> None:
    lines: list[Line] = []
    preferences.study(Record(lines.append, seed=2), Sizes(pretraining=10, pairs=32, held_out=16, epochs=1, rounds=4, prompts=4))
    history = StudyHistory()
    history.add(lines)
    assert list(history.views) == ["reward model", "pairs", "KL", "answers"]
    answers, pairs = history.views["answers"], history.views["pairs"]
    assert isinstance(answers, Rows)
    assert isinstance(pairs, Rows)
    for policy, kl, score, quality, _ in answers.rows:
        assert (kl, score) in history.curves["KL"][f"score, {policy}"]
        assert (kl, quality) in history.curves["KL"][f"judge, {policy}"]
    assert {row[2] for row in pairs.rows} <= {"A", "B"}
    measures = {name: float(value) for name, value in history.measures.items() if not isinstance(value, str)}
    assert measures["fall"] == measures["points_best_free"] - measures["points_last_free"]
    assert history.curves["reward model"]["held out"][-1][1] == measures["accuracy"]
    assert history.share == 1.0


def test_the_result_that_ships_bears_out_the_lesson() -> None:
    for history in recorded_seeds("preferences"):
        bears_out_the_lesson(history)


CLEAR_RISE = 0.2
"""Of the best of 25 means over the first one. With a policy that is not trained at all, sampling alone gave 0 to 0.15 in these
five seeds; training gave 0.22 to 1.02."""


def bears_out_the_lesson(history: StudyHistory) -> None:
    measures = {name: float(value) for name, value in history.measures.items() if not isinstance(value, str)}
    assert measures["pairs"] == 600
    assert 0.6 < measures["accuracy"] < measures["judge_accuracy"] < 1
    assert measures["rise"] > CLEAR_RISE, "what the guess asks"
    assert measures["fall"] > 0.3
    assert measures["score_last_free"] > measures["score_best_free"] > measures["score_first_free"], "the score goes on rising"
    assert measures["kl_last_braked"] < measures["kl_last_free"], "the penalty stops the policy early"
    assert measures["points_last_braked"] > measures["points_last_free"]
    pairs = history.views["pairs"]
    assert isinstance(pairs, Rows)
    assert {row[2] for row in pairs.rows} == {"A", "B"}
