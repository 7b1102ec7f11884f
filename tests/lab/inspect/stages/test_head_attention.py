"""Attention of the chosen head that comes with every view."""

from typing import Any

import numpy as np
import pytest

from lab.engine.method_registry import ViewParams
from tests.lab.engine.conftest import InProcessEngine
from tests.lab.inspect.read_views import PROMPT


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
