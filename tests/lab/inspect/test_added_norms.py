"""Norms of what each part adds to the residual stream, against a second GPT-2 in numpy."""

from typing import Any

import numpy as np
import pytest

from tests.lab.engine.conftest import InProcessEngine
from tests.lab.inspect.read_views import PROMPT


@pytest.mark.parametrize("position", [0, 3, None])
def test_each_part_adds_the_norm_of_its_output(
    position: int | None, make_run: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    tiny = make_run(seed=2, layers=3, heads=4, width=12, context=12)
    ids = tiny.tokenizer.encode(PROMPT)[-tiny.model.config.context :]
    values = oracle_of(tiny, ids).values
    at = len(ids) - 1 if position is None else position
    steps = engine.lens(position=position).steps
    adding = [step for step in steps if step.added is not None]
    assert [step.stage for step in adding] == ["embed", *["resid_mid", "resid_post"] * 3]
    for step in adding:
        output = {"embed": "resid_pre", "resid_mid": "attn_out", "resid_post": "mlp_out"}[step.stage]
        stream = "resid_pre" if step.stage == "embed" else step.stage
        layer = step.layer or 0
        assert step.added == pytest.approx(float(np.linalg.norm(values[f"blocks.{layer}.{output}"][at])), rel=1e-4)
        assert step.stream == pytest.approx(float(np.linalg.norm(values[f"blocks.{layer}.{stream}"][at])), rel=1e-4)
    logits = next(step for step in steps if step.stage == "logits")
    assert (logits.stream, logits.added) == (adding[-1].stream, None)
