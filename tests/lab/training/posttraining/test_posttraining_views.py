"""The views of a post-training: numbers as measured, and sentences that follow what came of it."""

import msgspec
import pytest

from lab.analysis.diagnose import diagnosis_of
from lab.analysis.diagnosed_run import DiagnosedRun
from lab.analysis.run_sentence import run_sentence
from lab.runs.find_runs import open_run
from lab.runs.run_history import LossHistory
from lab.runs.run_schema import Status
from lab.runs.schema_parts import TuningConfig, tuning_sentence
from lab.training.posttraining.posttraining_record import (
    MODELS,
    Evaluation,
    Line,
    Model,
    PosttrainingHistory,
    PosttrainSettings,
    Round,
    SftStep,
    Started,
)
from lab.training.posttraining.posttraining_views import MOST_ROWS, comparison_view, pairs_view, rounds_view, sft_view
from lab.training.posttraining.question_pairs import PairSource
from lab.views.blocks import Table, View


def started() -> Started:
    pairs = tuple(PairSource(1, lambda pair: True).draw(3))
    settings = PosttrainSettings(pairs=40, held_out=20)
    return Started(base="demo", base_step=6000, settings=settings, time=1.0, pairs=pairs, questions=pairs, hedged=4)


def evaluation(model: Model, exact: float, rewarded: float, story_loss: float = 0.5) -> Evaluation:
    return Evaluation(
        model=model,
        questions=20,
        exact=exact,
        rewarded=rewarded,
        several=rewarded - exact,
        well_formed=exact,
        length=2.0,
        answer_loss=1.0,
        story_loss=story_loss,
        answers=(" dog\n", " a\x1b[31m long answer that never ends and goes on", " cat\n"),
    )


def round_(model: Model, number: int, reward: float, exact: float, kl: float = 1.0) -> Round:
    return Round(
        model=model,
        round=number,
        rounds=25,
        reward=reward,
        exact=exact,
        several=0.0,
        well_formed=exact,
        length=2.0,
        kl=kl,
        question="Which animal is Rex?",
        right="dog",
        answer=" dog\n",
    )


def history(*lines: Line) -> PosttrainingHistory:
    found = PosttrainingHistory()
    found.add([started(), *lines])
    return found


def tables(view: View) -> list[Table]:
    return [block for block in view.blocks if isinstance(block, Table)]


def test_there_is_something_to_say_before_anything_is_measured_and_lines_go_through_json() -> None:
    for view in (pairs_view, sft_view, rounds_view, comparison_view):
        assert view(PosttrainingHistory()).sentence
        assert view(history()).sentence
    lines: list[Line] = [started(), evaluation("base", 0.0, 0.1), round_("rl", 1, 0.5, 0.5)]
    for line in lines:
        assert msgspec.json.decode(msgspec.json.encode(line), type=Line) == line


def test_pairs_show_question_and_answer() -> None:
    view = pairs_view(history())
    pair = started().pairs[0]
    assert "40 questions" in view.sentence
    assert "4 of which" in view.sentence
    assert [cell.text for cell in tables(view)[0].rows[0]] == [pair.question, f"{pair.answer}␊", pair.right]


def test_a_policy_that_exploits_the_reward_is_said_to() -> None:
    all_models = {"base": (0.0, 0.1), "sft": (0.5, 0.5), "rl": (0.95, 1.0), "rl-free": (0.05, 1.0)}
    lines = [evaluation(model, *all_models[model]) for model in MODELS]
    view = comparison_view(history(*lines))
    assert "base 0%, SFT 50%, RL, KL penalty 95%, RL, no penalty 5%" in view.sentence
    assert "no penalty 5%; at random, one of two: 50%." in view.sentence
    assert "100% are rewarded, 95% only through the hole" in view.sentence
    measures, answers = tables(view)
    assert [cell.text for cell in measures.rows[0][1:]] == ["0%", "50%", "95%", "5%"]
    assert len(answers.rows) == 3 * 4, "too long to stand side by side: one below the other"
    _, wide = tables(comparison_view(history(*lines), 240))
    assert len(wide.rows) == 3
    assert all("\x1b" not in cell.text and len(cell.text) <= 48 for row in answers.rows for cell in row)


def test_a_policy_that_does_not_exploit_the_reward_is_not_said_to() -> None:
    view = comparison_view(history(evaluation("base", 0.0, 0.1), evaluation("rl-free", 0.93, 0.97)))
    assert "97% are rewarded: it hardly used the hole in the reward" in view.sentence


def test_forgetting_is_said_where_it_is_measured() -> None:
    step = SftStep(step=1, steps=2, loss=3.0, lr=0.1)
    forgot = sft_view(history(step, evaluation("base", 0, 0, 0.5), evaluation("sft", 1, 1, 0.53)))
    assert "0.500 before, 0.530 after: it has forgotten" in forgot.sentence
    kept = sft_view(history(step, evaluation("base", 0, 0, 0.5), evaluation("sft", 1, 1, 0.5)))
    assert "forgotten" not in kept.sentence


def test_steps_are_averaged_over_few_rows_that_leave_none_out() -> None:
    steps = [SftStep(step=number, steps=25, loss=float(number), lr=0.1) for number in range(1, 26)]
    (table,) = tables(sft_view(history(*steps)))
    assert len(table.rows) <= MOST_ROWS
    assert [cell.text for cell in table.rows[0]] == ["1–3", "2.000"]
    assert [cell.text for cell in table.rows[-1]] == ["25", "25.000"]


def test_rounds_tell_the_course_of_both() -> None:
    kept = [round_("rl", number, 0.4 + 0.02 * number, 0.4, 0.1 * number) for number in range(1, 26)]
    free = [round_("rl-free", number, 0.04 * number, 1 - 0.04 * number, 2.0 * number) for number in range(1, 26)]
    view = rounds_view(history(*kept, *free))
    assert view.sentence == (
        "Means of the first and the last 5 rounds. With the KL penalty: reward 46% → 86%, exact 40% → 40%, KL 2.3 nats. "
        "Without: reward 12% → 92%, exact 88% → 8%, KL 46.0 nats."
    )
    with_penalty, without = tables(view)
    assert "β = 0.2" in with_penalty.title
    assert [cell.text for cell in without.rows[0][:4]] == ["1–3", "8%", "92%", "4.00"]


@pytest.mark.parametrize(
    ("rounds", "words"),
    [
        (1, "One round alone. With the KL penalty: reward 42%, exact 40%, KL 0.1 nats."),
        (3, "The first and the last round. With the KL penalty: reward 42% → 46%, exact 40% → 40%, KL 0.3 nats."),
        (4, "Means of the first and the last 2 rounds. With the KL penalty: reward 43% → 47%, exact 40% → 40%, KL 0.4 nats."),
    ],
)
def test_no_round_is_both_among_the_first_and_the_last(rounds: int, words: str) -> None:
    kept = [round_("rl", number, 0.4 + 0.02 * number, 0.4, 0.1 * number) for number in range(1, rounds + 1)]
    assert rounds_view(history(*kept)).sentence == words
    more = [round_("rl", number, 0.5, 0.5) for number in range(1, 11)]
    free = [round_("rl-free", number, 0.1 * number, 0.5) for number in range(1, 4)]
    assert "Without, the first and the last round: reward 10% → 30%" in rounds_view(history(*more, *free)).sentence


def test_a_fine_tuned_run_without_losses_is_no_damaged_one() -> None:
    config = open_run("demo").config
    tuning = TuningConfig(base="demo", base_step=6000, base_sha256="", method="rl", pairs=400, rounds=70, beta=0.2)
    status = Status(phase="finished", step=195)
    plain, tuned = config, msgspec.structs.replace(config, tuning=tuning)
    for each, verdict in ((plain, "losses missing"), (tuned, "fine-tuned")):
        assert diagnosis_of(DiagnosedRun(each, status, LossHistory(), status.phase, None, ())).verdict == verdict
    assert "No step" not in run_sentence(tuned, status, LossHistory())
    assert tuning_sentence(tuning) == (
        "Fine-tuned from demo (step 6000) on 400 questions with answers, then 70 rounds of reinforcement learning with the KL "
        "penalty 0.2."
    )
