"""SFT and reinforcement learning on small budgets, each by itself and the whole of a post-training."""

import copy
from pathlib import Path

import pytest
import torch

from lab.runs.find_runs import open_run
from lab.runs.run_folder import Run, tokenizer_of
from lab.runs.weights_file import load_model
from lab.training.posttraining.answers import Answerer, masked_loss
from lab.training.posttraining.post_train import PostTraining
from lab.training.posttraining.posttraining_record import Line, Model, PosttrainSettings, Round, SftStep, Started, rl_lr_for
from lab.training.posttraining.question_pairs import PairSource, QuestionPair
from lab.training.posttraining.sft_and_rl import fine_tune, reinforce, sft_steps
from models.config import SamplingSettings
from models.gpt import GPT
from models.sampling import generate

SETTINGS = PosttrainSettings(pairs=48, epochs=2, rounds=4, questions=2, group=4, rl_lr=1e-3, beta=4.0)


@pytest.fixture
def demo(one_core: None) -> GPT:
    return load_model(open_run("demo"))[0]


@pytest.fixture(scope="module")
def answerer() -> Answerer:
    run = open_run("demo")
    return Answerer(tokenizer_of(run), run.config.model.context)


Tuned = tuple[GPT, list[SftStep]]
Drawn = tuple[PairSource, list[QuestionPair]]


@pytest.fixture
def drawn(answerer: Answerer) -> Drawn:
    """A source from which the pairs of SFT have been drawn, and these."""
    source = PairSource(SETTINGS.seed, answerer.fits)
    return source, source.draw(SETTINGS.pairs)


@pytest.fixture(scope="module")
def tuned(answerer: Answerer) -> Tuned:
    """The demo model after SFT, and its steps."""
    model = load_model(open_run("demo"))[0]
    pairs = PairSource(SETTINGS.seed, answerer.fits).draw(SETTINGS.pairs)
    return model, list(fine_tune(model, answerer, pairs, SETTINGS))


def test_sft_lowers_the_loss_on_answers_to_other_stories_and_repeats_itself(
    demo: GPT, answerer: Answerer, drawn: Drawn, tuned: Tuned
) -> None:
    model, steps = tuned
    source, pairs = drawn
    others = [answerer.example(pair) for pair in source.draw(16)]
    assert [step.step for step in steps] == list(range(1, sft_steps(SETTINGS) + 1)) == list(range(1, 7))
    assert masked_loss(model, others) < masked_loss(demo, others) - 1.0
    assert not model.training
    assert list(fine_tune(demo, answerer, pairs, SETTINGS)) == steps


def test_an_answer_ends_with_its_line_and_is_that_of_plain_generation(demo: GPT, answerer: Answerer) -> None:
    (pair,) = PairSource(1, answerer.fits).draw(1)
    greedy = SamplingSettings(greedy=True)
    (answer,) = answerer.sample(demo, pair, [greedy])
    prompt = answerer.tokenizer.encode(pair.prompt)
    plain = [token.id for token in generate(demo, prompt, answerer.most_tokens, greedy)]
    assert answer == plain[: len(answer)]
    assert len(answer) == answerer.most_tokens or "\n" in answerer.tokenizer.decode(answer)
    assert "\n" not in answerer.tokenizer.decode(answer[:-1])


def test_the_penalty_keeps_the_policy_nearer_to_the_reference(
    one_core: None, answerer: Answerer, drawn: Drawn, tuned: Tuned
) -> None:
    reference, _ = tuned
    questions = [drawn[0].draw(SETTINGS.questions) for _ in range(SETTINGS.rounds)]
    stories = ["Once there was a small cat named Rex.\n\n"]
    found: dict[Model, list[Round]] = {}
    names: tuple[Model, Model] = ("rl", "rl-free")
    for name in names:
        policy = copy.deepcopy(reference)
        found[name] = list(reinforce(policy, reference, answerer, questions, SETTINGS.rounds, stories, SETTINGS, name))
        assert any(not torch.equal(a, b) for a, b in zip(policy.parameters(), reference.parameters(), strict=True))
    assert [line.round for line in found["rl"]] == [1, 2, 3, 4]
    assert found["rl"][0].kl == found["rl-free"][0].kl == 0.0
    assert found["rl"][0].reward == found["rl-free"][0].reward
    assert found["rl"][-1].kl < found["rl-free"][-1].kl
    assert [line.story_loss is not None for line in found["rl"]] == [True, False, False, True]


def test_the_learning_rate_of_a_wider_model_is_lower() -> None:
    settings = PosttrainSettings(rl_lr=4e-4)
    assert [rl_lr_for(settings, width) for width in (16, 64, 128, 256)] == pytest.approx([4e-4, 4e-4, 2e-4, 1e-4])


def test_where_time_is_short_there_are_fewer_rounds_the_same_number_of_both_and_no_more_questions(
    home: Path, one_core: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round seems to take a second, the first of them none: after the third there is time for four, after that for three."""
    drawn: list[QuestionPair] = []
    draw = PairSource.draw

    def counted(source: PairSource, count: int, hedged: float = 0.0) -> list[QuestionPair]:
        pairs = draw(source, count, hedged)
        drawn.extend(pairs)
        return pairs

    monkeypatch.setattr(PairSource, "draw", counted)
    monkeypatch.setattr("lab.training.posttraining.post_train.STORIES", 2)
    settings = PosttrainSettings(pairs=16, epochs=1, held_out=2, rounds=100_000, questions=2, group=2, seconds=7.0)
    lines: list[Line] = []
    rounds: list[Round] = []
    monkeypatch.setattr(PostTraining, "seconds", property(lambda job: float(len(rounds))))

    def log(line: Line) -> None:
        lines.append(line)
        if isinstance(line, Round):
            rounds.append(line)

    PostTraining(open_run("demo"), home, settings, log, lambda: None).run()
    assert [line.model for line in rounds] == ["rl"] * 4 + ["rl-free"] * 4
    tuning = Run(home / "demo-rl-free").config.tuning
    assert tuning is not None
    assert tuning.rounds == 4
    assert len(drawn) == settings.held_out + settings.pairs + 4 * settings.questions
    asked = [line.question for line in rounds]
    assert asked[:4] == asked[4:] == [pair.question for pair in drawn[-8::2]], "the same with and without the penalty"
    assert isinstance(lines[0], Started)
