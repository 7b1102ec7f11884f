"""The logit-lens grid against the lens of each position, and its last column against the oracle's own predictions."""

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from lab.engine.method_registry import ViewParams
from lab.inspect.interventions import Intervention
from lab.inspect.stages import lens_grid_stage
from lab.views.blocks import TextGrid, View
from tests.lab.engine.conftest import PROMPT, InProcessEngine
from tests.lab.inspect.read_views import blocks


def grid_of(view: View) -> TextGrid:
    return blocks(view, TextGrid)[0]


def test_every_cell_is_the_lens_of_its_position_and_layer(make_run: Any, engine: InProcessEngine) -> None:
    tiny = make_run(seed=4, layers=3, heads=2, width=8, context=64)
    grid = grid_of(engine.view(stage="lens"))
    values = grid.values.numpy()
    assert values.shape == (len(tiny.tokenizer.encode(PROMPT)), 4)
    for position in range(len(values)):
        path = engine.lens(position=position)
        lenses = {(step.stage, step.layer): step.lens for step in path.steps if step.lens is not None}
        for column, to in enumerate(grid.destinations):
            lens = lenses[to.stage, to.layer]
            assert grid.texts[position][column] == lens.label
            assert values[position, column] == pytest.approx(lens.probability, rel=1e-5)


def test_the_last_column_is_what_the_model_predicts(make_run: Any, engine: InProcessEngine, oracle_of: Any) -> None:
    tiny = make_run(seed=5, layers=2, heads=2, width=8, context=64)
    ids = tiny.tokenizer.encode(PROMPT)
    logits = oracle_of(tiny, ids).values["logits"]
    grid = grid_of(engine.view(stage="lens"))
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    np.testing.assert_allclose(grid.values.numpy()[:, -1], (shifted / shifted.sum(-1, keepdims=True)).max(-1), rtol=1e-4)
    assert [row[-1] for row in grid.texts] == [tiny.tokenizer.label(int(id_)) for id_ in logits.argmax(-1)]
    following = [*(tiny.tokenizer.label(id_) for id_ in ids[1:]), None]
    for row, (texts, marks) in enumerate(zip(grid.texts, grid.marked, strict=True)):
        assert marks == [text == following[row] for text in texts]


def test_an_intervention_changes_the_grid_and_a_long_prompt_shows_the_tokens_around_the_position(
    make_run: Any, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(seed=4, layers=2, heads=2, width=8, context=64)
    params = ViewParams(run="tiny", stage="lens", text=PROMPT, position=5)
    whole = grid_of(engine.view(params))
    without = replace(params, interventions=(Intervention(part="mlp_out", how="off", layer=0),))
    before, after = whole.values.numpy(), grid_of(engine.view(without)).values.numpy()
    assert np.array_equal(before[:, 0], after[:, 0])
    assert not np.allclose(before[:, 1], after[:, 1])
    monkeypatch.setattr(lens_grid_stage, "ROWS", 4)
    part = grid_of(engine.view(params))
    assert part.first_position == 3
    assert part.selected == (2, 2)
    assert part.texts == whole.texts[3:7]
