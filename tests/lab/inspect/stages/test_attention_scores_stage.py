"""Attention of one head as bars and beside every view, against the oracle's pattern in float64."""

import re
from typing import Any

import numpy as np
import pytest

from lab.engine.method_registry import ViewParams
from lab.inspect.interventions import Intervention
from lab.inspect.stages.attention_scores_stage import VERY_WIDE, WIDE
from lab.views.blocks import MatrixPanels, Table, View
from tests.lab.engine.conftest import PROMPT, InProcessEngine
from tests.lab.inspect.read_views import tables


@pytest.mark.parametrize("stage", ["tokens", "scores", "mlp", "thumbnails", "logits"])
def test_attention_is_the_models_own_row_and_column(stage: str, tiny: Any, engine: InProcessEngine, oracle_of: Any) -> None:
    ids = tiny.tokenizer.encode(PROMPT)
    pattern = oracle_of(tiny, ids).values["blocks.1.attn.pattern"][1]
    found = engine.view(stage=stage, layer=1, head=1, position=5).attention
    assert found is not None
    assert (found.layer, found.head, found.position) == (1, 1, 5)
    np.testing.assert_allclose(found.paid.numpy()[:6], pattern[5, :6], atol=1e-5)
    np.testing.assert_allclose(found.received.numpy()[5:], pattern[5:, 5], atol=1e-5)
    assert np.isnan(found.paid.numpy()[6:]).all()
    assert np.isnan(found.received.numpy()[:5]).all()
    assert found.paid.numpy()[:6].sum() == pytest.approx(1, abs=1e-5)


def test_long_prompts_give_the_same_numbers(tiny: Any, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ViewParams(run="tiny", stage="mlp", layer=1, head=1, text=PROMPT, position=5)
    short = engine.view(asked).attention
    monkeypatch.setattr("lab.inspect.stages.attention_scores_stage.PATTERNS_CACHED", 0)
    long = engine.view(asked).attention
    assert short is not None
    assert long is not None
    assert (short.paid.data, short.received.data) == (long.paid.data, long.received.data)


TEXT = "The big dog ran. The small cat ran home. The big cat sat."


@pytest.fixture
def tiny(make_run: Any) -> Any:
    return make_run(context=40)


def ask(engine: InProcessEngine, width: int | None, **params: Any) -> View:
    return engine.view(stage="matrix", layer=1, head=1, text=TEXT, width_hint=width, **params)


@pytest.mark.parametrize(("width", "drawn"), [(None, False), (WIDE - 1, False), (WIDE, True), (VERY_WIDE, True)])
def test_the_bars_are_drawn_on_a_large_screen(width: int | None, drawn: bool, tiny: Any, engine: InProcessEngine) -> None:
    assert len(tables(ask(engine, width))) == drawn


@pytest.mark.parametrize("width", [WIDE, VERY_WIDE])
@pytest.mark.parametrize("position", [0, 1, 7, 15, 16, None])
def test_the_bars_are_the_querys_row_with_the_largest_first(
    width: int, position: int | None, tiny: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    ids = tiny.tokenizer.encode(TEXT)
    at = len(ids) - 1 if position is None else position
    row = oracle_of(tiny, ids).values["blocks.1.attn.pattern"][1][at, : at + 1]
    (table,) = tables(ask(engine, width, position=position))
    listed = [each for each in table.rows if each[-1].ref]
    most = 9 if width == WIDE else 16
    assert len(listed) == (at + 1 if at + 1 <= most else 8)
    shares = [each[-1].value or 0 for each in listed]
    np.testing.assert_allclose(shares, np.sort(row)[::-1][: len(listed)], rtol=2e-5)
    for label, place, share in listed:
        key = int(label.text.split()[0]) - 1
        assert share.ref == f"blocks.1.attn.pattern[1,{at},{key}]"
        assert share.value == share.bar == pytest.approx(row[key], rel=2e-5)
        assert place.text == ("itself" if key == at else "previous" if key == at - 1 else "first" if key == 0 else "")
    others = table.rows[len(listed) :]
    assert [each[0].text for each in others] == ([f"{at + 1 - 8} other keys"] if at + 1 > most else [])
    assert sum(each[-1].value or 0 for each in table.rows) == pytest.approx(1)
    entropy = float((row * -np.log2(row)).sum()) + 0.0
    found = re.search(rf"entropy ([\d.]+) bits over {at + 1} key", table.title)
    assert found is not None
    assert float(found[1]) == pytest.approx(entropy, abs=6e-3)


def test_a_forced_patterns_bars_stand_beside_those_before_it_and_lead_and_titles_say_so(
    tiny: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    made = (Intervention(part="attn.z", how="attend", layer=1, head=1, position=2),)
    before = oracle_of(tiny, tiny.tokenizer.encode(TEXT)).values["blocks.1.attn.pattern"][1]
    (table,) = tables(ask(engine, WIDE, interventions=made))
    assert [each.title for each in table.columns[2:]] == ["before", "after the intervention"]
    at, (label, _, was, now) = len(before) - 1, table.rows[0]
    assert label.text.split()[0] == "3"
    assert (now.value, now.ref) == (1.0, f"blocks.1.attn.pattern[1,{at},2]")
    assert (was.value, was.ref) == (pytest.approx(before[at, 2], rel=2e-5), f"blocks.1.attn.pattern.before[1,{at},2]")
    assert "entropy 0 bits" in table.title, "of the pattern in use"
    for stage in ("matrix", "scores"):
        for forced in ((), made):
            view = engine.view(stage=stage, layer=1, head=1, text=TEXT, interventions=forced)
            shown = next(block for block in view.blocks if isinstance(block, MatrixPanels | Table))
            title = shown.matrices[2].title if isinstance(shown, MatrixPanels) else shown.title
            assert ("before the intervention" in title) == bool(forced), stage
            assert view.sentence.startswith("Before the intervention,") == bool(forced), stage
