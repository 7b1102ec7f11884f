"""Stages of a training step through the engine's method, and mistakes in what is asked."""

import pytest

from lab.core.errors import UserError
from lab.engine.method_registry import OneStepParams
from lab.engine.one_step_methods import OneStepMethods
from lab.one_step.step_stages import STAGES, StepAnswer
from lab.runs.run_folder import Run
from models.unembed import finish


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("applied", [0, 2])
def test_every_stage_is_answered_and_again_by_an_engine_that_was_just_started(trained: Run, stage: str, applied: int) -> None:
    params = OneStepParams(run=str(trained.path), stage=stage, applied=applied, window=1, position=4)
    methods = OneStepMethods()
    for before in ("batch", "changes", "after"):
        finish(methods.one_step(OneStepParams(run=str(trained.path), stage=before)))
    answer = finish(methods.one_step(params))
    assert isinstance(answer, StepAnswer)
    assert (answer.view.stage, answer.window, answer.position, answer.facts.applied) == (stage, 1, 4, applied)
    assert answer.view.parity is None or answer.view.parity.max_delta < 1e-6
    again = finish(OneStepMethods().one_step(params))
    assert again.facts == answer.facts
    assert again.view == answer.view or stage in ("batch", "weight")  # those say what is held, and m, v in full


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"text": ""}, "The sentence is empty"),
        ({"text": "a"}, "is one token, so nothing is predicted"),
        ({"batch_offset": -13}, "There is no earlier batch"),
        ({"stage": "weight", "weight": "wte.weight[999,0]"}, "There is no weight called"),
        ({"stage": "weight", "weight": "nothing[1]"}, "There is no weight called"),
        ({"stage": "no"}, "There is no stage called no"),
    ],
)
def test_mistakes_are_one_sentence_and_what_was_before_goes_on(trained: Run, params: dict[str, object], words: str) -> None:
    methods = OneStepMethods()
    good = OneStepParams(run=str(trained.path), applied=2, stage="losses")
    before = finish(methods.one_step(good))
    with pytest.raises(UserError, match=words):
        finish(methods.one_step(OneStepParams(run=str(trained.path), **params)))  # type: ignore[arg-type]
    assert finish(methods.one_step(good)) == before
