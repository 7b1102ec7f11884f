"""Stages of a training step through the engine's method, batches that are cut, and mistakes in what is asked."""

import numpy as np
import pytest

from lab.core.errors import UserError
from lab.runs.run_folder import Run
from lab.training.one_step.starting_point import own_batch
from lab.training.one_step.step_stages import STAGES, StepAnswer
from lab.views.blocks import Table
from tests.lab.training.one_step.taken_steps import StepAsker


def test_a_long_sentence_is_cut_to_the_context_and_says_so(trained: Run) -> None:
    answer = StepAsker(trained)(text="abcdefghij" * 2)
    assert len(answer.tokens) == 17  # a context of 16, and the token that its last predicts
    assert "last 3 tokens do not fit" in answer.view.sentence


def test_a_batch_that_takes_too_long_is_cut_and_the_view_says_so(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = own_batch(trained, 12, 1)
    monkeypatch.setattr(
        "lab.training.one_step.starting_point.MOST_FLOPS", 2.5 * 6 * 7664 * 16
    )  # 2.5 windows of 16 tokens through 7,664 weights
    cut = own_batch(trained, 12, 1)
    assert np.array_equal(cut.ids, whole.ids[:2])
    assert cut.left_out == 2
    answer = StepAsker(trained)()
    assert answer.facts.windows == 2
    assert "2 more windows of the batch are left out" in answer.view.sentence
    answer = StepAsker(trained)(stage="batch")
    windows = next(block for block in answer.view.blocks if isinstance(block, Table))
    begins = [row[3].text for row in windows.rows]
    labels = [token.label for token in answer.tokens]
    assert begins[0].removesuffix("…") in {"".join(labels[:count]) for count in range(len(labels) + 1)}, "no token is cut"


@pytest.mark.parametrize("applied", [0, 2])
def test_every_stage_is_answered_and_again_by_an_engine_that_was_just_started(trained: Run, applied: int) -> None:
    ask = StepAsker(trained)
    for before in ("batch", "changes", "after"):
        ask(stage=before)
    for stage in STAGES:
        params = {"stage": stage, "applied": applied, "window": 1, "position": 4}
        answer = ask(**params)
        assert isinstance(answer, StepAnswer)
        assert (answer.view.stage, answer.window, answer.position, answer.facts.applied) == (stage, 1, 4, applied)
        assert answer.view.parity is None or answer.view.parity.max_delta < 1e-6, stage
        again = StepAsker(trained)(**params)
        assert again.facts == answer.facts, stage
        assert again.view == answer.view or stage in ("batch", "weight")  # those say what is held, and m, v in full


def test_mistakes_are_one_sentence_and_what_was_before_goes_on(trained: Run) -> None:
    ask = StepAsker(trained)
    good = {"applied": 2, "stage": "losses"}
    before = ask(**good)
    for params, words in (
        ({"text": ""}, "The sentence is empty"),
        ({"text": "a"}, "is one token, so nothing is predicted"),
        ({"batch_offset": -13}, "There is no earlier batch"),
        ({"stage": "weight", "weight": "wte.weight[999,0]"}, "There is no weight called"),
        ({"stage": "weight", "weight": "nothing[1]"}, "There is no weight called"),
        ({"stage": "no"}, "There is no stage called no"),
    ):
        with pytest.raises(UserError, match=words):
            ask(**params)
        assert ask(**good) == before, params
