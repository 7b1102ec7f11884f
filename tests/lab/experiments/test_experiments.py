"""Every experiment answers on any run, or says in one sentence what is missing."""

import math
from typing import Any

import pytest
import torch

from lab.core.errors import UserError
from lab.engine.method_registry import ExperimentParams
from lab.experiments.experiment_registry import EXPERIMENTS
from tests.lab.engine.conftest import InProcessEngine, MakeRun
from tests.lab.experiments.conftest import MakeTextRun, Measure, with_text

SHAPES: dict[str, tuple[dict[str, int], str]] = {
    "usual": ({}, "The big dog ran"),
    "one layer, one head": ({"layers": 1, "heads": 1, "width": 4, "context": 5}, "The big dog ran fast"),
    "smallest": ({"layers": 1, "heads": 1, "width": 1, "context": 1}, "The big dog"),
    "one token": ({}, "T"),
    "no prompt": ({}, ""),
}


@pytest.mark.parametrize("has_text", [True, False], ids=["text", "no text"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_answers_on_any_run_or_says_what_is_missing(
    name: str, shape: str, has_text: bool, make_run: MakeRun, engine: InProcessEngine
) -> None:
    sizes, prompt = SHAPES[shape]
    tiny = make_run(**sizes)
    if has_text:
        with_text(tiny)
    refusal = ""
    try:
        result: Any = engine.experiment(ExperimentParams(run="tiny", text=prompt, name=name))
    except UserError as error:
        refusal = str(error)
    if refusal:
        assert shape != "usual" or not has_text, refusal
        assert refusal.endswith(".")
        assert "\n" not in refusal
        return
    assert result.view.blocks
    assert result.view.title
    assert result.view.sentence.endswith(".")
    assert result.measures
    assert all(math.isfinite(value) for value in result.measures.values() if not isinstance(value, str))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_leaves_the_model_as_it_was(name: str, text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    before = {key: value.clone() for key, value in tiny.model.state_dict().items()}
    measure(name, tiny)
    after = tiny.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not tiny.model.training


def test_an_unknown_experiment_is_refused(tiny: Any, engine: InProcessEngine) -> None:
    with pytest.raises(UserError, match="There is no experiment called alchemy; the experiments are vocabulary"):
        engine.experiment(ExperimentParams(run="tiny", name="alchemy"))


def test_a_layer_that_the_model_lacks_is_refused(tiny: Any, engine: InProcessEngine) -> None:
    with pytest.raises(UserError, match="There is no layer 8: tiny has 2"):
        engine.experiment(ExperimentParams(run="tiny", name="vocabulary", layer=7))
