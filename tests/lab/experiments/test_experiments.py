import math
import re
from typing import Any

import pytest
import torch

from lab.core.errors import UserError
from lab.engine.method_registry import ExperimentParams
from lab.experiments.experiment_registry import EXPERIMENTS
from tests.lab.engine.conftest import InProcessEngine, TinyRun, make_tiny_run
from tests.lab.experiments.conftest import with_text

SHAPES: dict[str, dict[str, int]] = {
    "usual": {},
    "smallest": {"layers": 1, "heads": 1, "width": 1, "context": 1},
}
ASKED = [
    ("usual", True, "The big dog ran"),
    ("usual", True, ""),
    ("smallest", False, "The big dog"),
]
"""A shape, whether the run has its text, and a prompt."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], TinyRun]:
    """A run of each shape, with its text and without."""
    found = {(shape, has_text): make_tiny_run(tmp_path_factory.mktemp("home"), **SHAPES[shape]) for shape, has_text, _ in ASKED}
    return {(shape, has_text): with_text(tiny) if has_text else tiny for (shape, has_text), tiny in found.items()}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_answers_on_any_run_or_says_what_is_missing_and_leaves_the_model_as_it_was(
    name: str, runs: dict[tuple[str, bool], TinyRun], shared_engine: InProcessEngine, small_experiments: None
) -> None:
    for shape, has_text, prompt in ASKED:
        asked = ExperimentParams(run=str(runs[shape, has_text].run.path), text=prompt, name=name)
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
    for tiny in runs.values():
        model = shared_engine.models.model(str(tiny.run.path), "best").model
        assert all(torch.equal(weight, model.state_dict()[key]) for key, weight in tiny.model.state_dict().items())
        assert not model.training


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
