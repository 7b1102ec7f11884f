import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from lab.core.errors import UserError
from lab.engine.method_registry import ExperimentParams
from lab.experiments.experiment_registry import EXPERIMENTS
from tests.lab.engine.conftest import InProcessEngine, make_tiny_run
from tests.lab.experiments.conftest import MakeTextRun, Measure, with_text

SHAPES: dict[str, dict[str, int]] = {
    "usual": {},
    "one layer, one head": {"layers": 1, "heads": 1, "width": 4, "context": 5},
    "smallest": {"layers": 1, "heads": 1, "width": 1, "context": 1},
}
ASKED = [
    ("usual", True, "The big dog ran"),
    ("usual", False, "The big dog ran"),
    ("usual", True, "T"),
    ("usual", True, ""),
    ("one layer, one head", True, "The big dog ran fast"),
    ("smallest", True, "The big dog"),
    ("smallest", False, "The big dog"),
]
"""A shape, whether the run has its text, and a prompt."""


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], Path]:
    """A home for each shape, with the run's text and without."""
    found = {(shape, has_text): tmp_path_factory.mktemp("home") for shape, has_text, _ in ASKED}
    for (shape, has_text), home in found.items():
        tiny = make_tiny_run(home, **SHAPES[shape])
        if has_text:
            with_text(tiny)
    return found


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_answers_on_any_run_or_says_what_is_missing(
    name: str, homes: dict[tuple[str, bool], Path], shared_engine: InProcessEngine
) -> None:
    for shape, has_text, prompt in ASKED:
        asked = ExperimentParams(run=str(homes[shape, has_text] / "tiny"), text=prompt, name=name)
        try:
            result: Any = shared_engine.experiment(asked)
        except UserError as error:
            refusal = str(error)
            assert (shape, has_text, prompt) != ASKED[0], refusal
            assert re.fullmatch(r".+\.", refusal), (shape, has_text, prompt)
            continue
        assert all((result.view.blocks, result.view.title, result.measures)), (shape, has_text, prompt)
        assert result.view.sentence.endswith("."), (shape, has_text, prompt)
        numbers = [value for value in result.measures.values() if not isinstance(value, str)]
        assert all(map(math.isfinite, numbers)), (shape, has_text, prompt)


def test_an_experiment_leaves_the_model_as_it_was(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    before = {key: value.clone() for key, value in tiny.model.state_dict().items()}
    for name in EXPERIMENTS:
        measure(name, tiny)
        after = tiny.model.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before), name
        assert not tiny.model.training, name


@pytest.mark.parametrize(
    ("params", "refusal"),
    [
        (ExperimentParams(run="tiny", name="alchemy"), "There is no experiment called alchemy; the experiments are .*vocabulary"),
        (ExperimentParams(run="tiny", name="vocabulary", layer=7), "There is no layer 8: tiny has 2"),
    ],
)
def test_what_there_is_not_is_refused(params: ExperimentParams, refusal: str, tiny: Any, engine: InProcessEngine) -> None:
    with pytest.raises(UserError, match=refusal):
        engine.experiment(params)
