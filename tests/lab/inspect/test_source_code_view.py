"""The source code of each stage: the lines are the file's own, and their shapes those of the trace."""

import sys
from pathlib import Path
from typing import Any

import pytest

import models
from lab.inspect.stages.stage_registry import STAGES
from lab.views.blocks import Table, View
from models.trace import Trace
from tests.lab.engine.conftest import PROMPT, InProcessEngine

WIDE, NARROW = 200, 53


def rows(view: View) -> list[list[str]]:
    return [[cell.text for cell in row] for block in view.blocks if isinstance(block, Table) for row in block.rows]


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_marks_lines_that_its_file_has(stage: str, shared_tiny: Any, shared_engine: InProcessEngine) -> None:
    assert shared_tiny
    view = shared_engine.code(stage=stage, width_hint=WIDE)
    tables = [block for block in view.blocks if isinstance(block, Table)]
    assert tables
    for table, (function, own) in zip(tables, STAGES[stage].code.items(), strict=True):
        assert table.title == f"models/{function}"
        file = (Path(models.__path__[0]) / function.partition(":")[0]).read_text(encoding="utf-8").splitlines()
        shown = {int(row[0].text.removeprefix("▸")): (row[0].text[0], row[1].text) for row in table.rows}
        assert all(file[number - 1].strip() == text.strip() for number, (_, text) in shown.items())
        marked = [text.strip() for mark, text in shown.values() if mark == "▸"]
        assert all(any(line.startswith(words) for line in marked) for words in own), "each names a line"
        assert marked


def without_batch(*order: int) -> Any:
    """The shape of a value of the trace in the order of the code, with the batch of one."""
    return lambda value: (1, *(value.shape[dimension] for dimension in order))


AS_IT_IS = without_batch(0, 1)
SHAPES = (
    ("embed", "x = self.drop(", "x", "blocks.0.resid_pre", AS_IT_IS),
    ("ln1", "x = x + self.attn(self.ln_1(", "x", "blocks.1.resid_mid", AS_IT_IS),
    *(("qkv", "q, k, v =", "q, k, v", f"blocks.1.attn.{part}", without_batch(1, 0, 2)) for part in "qkv"),
    ("scores", "attn_scores =", "attn_scores", "blocks.1.attn.attn_scores", lambda value: tuple(value.shape)),
    ("matrix", "pattern =", "pattern", "blocks.1.attn.pattern", lambda value: tuple(value.shape)),
    ("values", "z = causal_attention(", "z", "blocks.1.attn.z", without_batch(1, 0, 2)),
    ("attn_out", "out: Tensor =", "out", "blocks.1.attn_out", AS_IT_IS),
    ("mlp", "post =", "post", "blocks.1.mlp.post", AS_IT_IS),
    ("mlp", "out: Tensor =", "out", "blocks.1.mlp_out", AS_IT_IS),
    ("resid_post", "x = x + self.mlp(", "x", "blocks.1.resid_post", AS_IT_IS),
    ("ln_final", "normed: Tensor =", "normed", "ln_final.out", AS_IT_IS),
    ("logits", "return F.linear(", "→", "logits", AS_IT_IS),
)


@pytest.mark.parametrize(("stage", "line", "variable", "name", "in_code"), SHAPES)
def test_the_shapes_are_those_of_the_trace(
    stage: str, line: str, variable: str, name: str, in_code: Any, shared_tiny: Any, shared_engine: InProcessEngine
) -> None:
    trace = Trace(shared_tiny.model, shared_tiny.tokenizer.encode(PROMPT)[-shared_tiny.model.config.context :])
    said = [row[2] for row in rows(shared_engine.code(stage=stage, layer=1, width_hint=WIDE)) if row[1].strip().startswith(line)]
    assert said == [f"{variable} {in_code(trace[name])}"]


def test_where_it_is_narrow_the_shapes_stand_below_the_lines(shared_tiny: Any, shared_engine: InProcessEngine) -> None:
    assert shared_tiny
    found = rows(shared_engine.code(stage="qkv", width_hint=NARROW))
    assert {len(row) for row in found} == {2}
    assert all(len(row[1]) <= NARROW - 8 for row in found)
    at = next(index for index, row in enumerate(found) if row[1].strip().startswith("q, k, v ="))
    assert any(row[1].strip().startswith("q, k, v (1, ") for row in found[at : at + 4])


def test_whoever_traces_the_process_goes_on_after_it(shared_tiny: Any, shared_engine: InProcessEngine) -> None:
    """A debugger, or a measure of coverage."""
    assert shared_tiny
    outer = sys.gettrace()
    tracer = lambda *_: None  # noqa: E731
    sys.settrace(tracer)
    try:
        shared_engine.code(stage="embed", text="another")
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(outer)
