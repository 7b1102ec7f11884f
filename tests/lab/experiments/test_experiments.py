"""Every experiment answers on any run, or says in one sentence what is missing."""

from typing import Any

import pytest

from lab.core.errors import UserError
from lab.engine.method_registry import ExperimentParams
from lab.experiments.experiment_registry import EXPERIMENTS
from tests.lab.engine.conftest import InProcessEngine, MakeRun


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize(
    ("shape", "prompt"),
    [
        ({"layers": 2}, "The big dog ran"),
        ({"layers": 1, "heads": 1, "width": 4, "context": 2}, "The big dog"),
        ({}, "T"),
        ({}, ""),
    ],
    ids=["usual", "smallest", "one token", "no prompt"],
)
def test_an_experiment_answers_on_any_run_or_says_what_is_missing(
    name: str, shape: dict[str, int], prompt: str, make_run: MakeRun, engine: InProcessEngine
) -> None:
    make_run(**shape)
    refusal = ""
    try:
        result: Any = engine.experiment(ExperimentParams(run="tiny", text=prompt, name=name))
    except UserError as error:
        refusal = str(error)
    if refusal:
        assert refusal.endswith(".")
        assert "\n" not in refusal
        return
    assert result.view.blocks
    assert result.measures
    assert result.view.title


def test_an_unknown_experiment_is_refused(tiny: Any, engine: InProcessEngine) -> None:
    with pytest.raises(UserError, match="There is no experiment called alchemy; the experiments are vocabulary"):
        engine.experiment(ExperimentParams(run="tiny", name="alchemy"))


def test_a_layer_that_the_model_lacks_is_refused(tiny: Any, engine: InProcessEngine) -> None:
    with pytest.raises(UserError, match="There is no layer 8: tiny has 2"):
        engine.experiment(ExperimentParams(run="tiny", name="vocabulary", layer=7))
