"""The embedding tables: neighbours by cosine and the similarities of positions, against plain loops over the weights."""

from typing import Any

import numpy as np
import pytest

from lab.inspect.stages import embedding_stage
from lab.views.blocks import Matrix, Strip, Table
from tests.lab.engine.conftest import PROMPT, InProcessEngine
from tests.lab.inspect.read_views import blocks


def cosine(a: Any, b: Any) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_neighbours_are_the_nearest_rows_of_the_token_embedding(make_run: Any, engine: InProcessEngine) -> None:
    tiny = make_run(seed=6, layers=2, heads=2, width=8, context=64)
    ids = tiny.tokenizer.encode(PROMPT)
    table = tiny.model.wte.weight.detach().numpy()
    view = engine.view(stage="neighbours", position=2)
    expected = sorted((-cosine(row, table[ids[2]]), id_) for id_, row in enumerate(table) if id_ != ids[2])
    rows = blocks(view, Table)[0].rows
    assert [int(row[1].text) for row in rows] == [id_ for _, id_ in expected[: len(rows)]]
    assert [row[2].value for row in rows] == pytest.approx([-value for value, _ in expected[: len(rows)]], abs=1e-6)
    assert tiny.tokenizer.label(expected[0][1]) in view.sentence
    for drawn, id_ in zip(blocks(view, Strip), [ids[2], *(id_ for _, id_ in expected)], strict=False):
        np.testing.assert_array_equal(drawn.values.numpy(), table[id_])
        assert drawn.ref == f"wte.weight[{id_}]"
    assert view.parity is not None
    assert view.parity.max_delta == 0


def test_positions_are_drawn_and_compared_and_where_there_are_many_thinned(
    make_run: Any, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = make_run(seed=6, layers=2, heads=2, width=8, context=32)
    table = tiny.model.wpe.weight.detach().numpy()
    view = engine.view(stage="positions", position=2)
    similar, heatmap = blocks(view, Matrix)
    tokens = len(tiny.tokenizer.encode(PROMPT)[-32:])
    np.testing.assert_array_equal(heatmap.values.numpy(), table[:tokens])
    expected = [[cosine(a, b) for b in table] for a in table]
    np.testing.assert_allclose(similar.values.numpy(), expected, atol=1e-6)
    near = np.mean([cosine(table[i], table[i + 1]) for i in range(31)])
    far = np.mean([cosine(table[i], table[i + 16]) for i in range(16)])
    assert f"mean cosine of {near:.2f}".replace("-", "−") in view.sentence
    assert f"16 apart {far:.2f}".replace("-", "−") in view.sentence
    monkeypatch.setattr(embedding_stage, "POSITIONS", 8)
    similar, heatmap = blocks(engine.view(stage="positions", position=9), Matrix)
    assert similar.row_labels == ["1", "5", "9", "13", "17", "21", "25", "29"]
    assert "one in 4" in similar.title
    assert similar.stride == 4, "the ruler above the columns counts as the labels of the rows do"
    assert similar.values.numpy()[1, 3] == pytest.approx(cosine(table[4], table[12]), abs=1e-6)
    assert heatmap.ref == "wpe.weight[4:,:]"
    np.testing.assert_array_equal(heatmap.values.numpy(), table[4:12])
