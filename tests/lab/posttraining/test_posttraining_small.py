"""SFT and reinforcement learning on small budgets: the loss falls, rewarded answers become more probable, the penalty holds."""

import copy

import pytest
import torch

from lab.posttraining.answers import Answerer, masked_loss
from lab.posttraining.fine_tuning import fine_tune, sft_steps
from lab.posttraining.progress_log import Model, Round
from lab.posttraining.question_pairs import PairSource
from lab.posttraining.reinforcement import reinforce
from lab.posttraining.settings import PosttrainSettings, rl_lr_for
from lab.runs.find_runs import open_run
from lab.runs.load_tokenizer import tokenizer_of
from lab.runs.weights_file import load_model
from models.gpt import GPT
from models.sampling import generate
from models.sampling_settings import SamplingSettings


@pytest.fixture
def demo(one_core: None) -> GPT:
    return load_model(open_run("demo"))[0]


@pytest.fixture
def answerer(demo: GPT) -> Answerer:
    return Answerer(tokenizer_of(open_run("demo")), demo.config.context)


def test_sft_lowers_the_loss_on_answers_to_other_stories_and_repeats_itself(demo: GPT, answerer: Answerer) -> None:
    settings = PosttrainSettings(pairs=48, epochs=2)
    source = PairSource(settings.seed, answerer.fits)
    held_out, pairs = source.draw(16), source.draw(settings.pairs)
    others = [answerer.example(pair) for pair in held_out]
    before, start = masked_loss(demo, others), copy.deepcopy(demo)
    steps = list(fine_tune(demo, answerer, pairs, settings))
    assert [step.step for step in steps] == list(range(1, sft_steps(settings) + 1)) == list(range(1, 7))
    assert masked_loss(demo, others) < before - 1.0
    assert list(fine_tune(start, answerer, pairs, settings)) == steps
    assert not demo.training


def test_an_answer_ends_with_its_line_and_is_that_of_plain_generation(demo: GPT, answerer: Answerer) -> None:
    (pair,) = PairSource(1, answerer.fits).draw(1)
    greedy = SamplingSettings(greedy=True)
    (answer,) = answerer.sample(demo, pair, [greedy])
    prompt = answerer.tokenizer.encode(pair.prompt)
    plain = [token.id for token in generate(demo, prompt, answerer.most_tokens, greedy)]
    assert answer == plain[: len(answer)]
    assert len(answer) == answerer.most_tokens or "\n" in answerer.tokenizer.decode(answer)
    assert "\n" not in answerer.tokenizer.decode(answer[:-1])


def test_the_penalty_keeps_the_policy_nearer_to_the_reference(demo: GPT, answerer: Answerer) -> None:
    settings = PosttrainSettings(pairs=64, epochs=2, rounds=6, questions=4, group=8, rl_lr=1e-3, beta=2.0)
    source = PairSource(settings.seed, answerer.fits)
    list(fine_tune(demo, answerer, source.draw(settings.pairs), settings))
    questions, stories = (
        [source.draw(settings.questions) for _ in range(settings.rounds)],
        ["Once there was a small cat named Rex.\n\n"],
    )
    found: dict[Model, list[Round]] = {}
    names: tuple[Model, Model] = ("rl", "rl-free")
    for name in names:
        policy = copy.deepcopy(demo)
        found[name] = list(reinforce(policy, demo, answerer, questions, settings.rounds, stories, settings, name))
        assert any(not torch.equal(a, b) for a, b in zip(policy.parameters(), demo.parameters(), strict=True))
    assert [line.round for line in found["rl"]] == [1, 2, 3, 4, 5, 6]
    assert found["rl"][0].kl == found["rl-free"][0].kl == 0.0
    assert found["rl"][0].reward == found["rl-free"][0].reward
    assert found["rl"][-1].kl < found["rl-free"][-1].kl
    assert [line.story_loss is not None for line in found["rl"]] == [True, False, False, False, False, True]


def test_the_learning_rate_of_a_wider_model_is_lower() -> None:
    settings = PosttrainSettings(rl_lr=4e-4)
    assert [rl_lr_for(settings, width) for width in (16, 64, 128, 256)] == pytest.approx([4e-4, 4e-4, 2e-4, 1e-4])
