"""Every number that a view shows is explained: the value is the oracle's, and so is every one on random ways down from it."""

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lab.core.errors import UserError
from lab.engine.method_registry import ExplainParams
from lab.inspect.stages.stage_registry import IN_LAYERS, STAGES
from lab.views.blocks import Matrix, StackedStrips, Strip, Table, View
from lab.views.number_explanation import Explanation
from lab.views.number_refs import element
from models.config import SamplingSettings
from models.gpt import GPT
from tests.lab.engine.conftest import PROMPT, InProcessEngine, MakeRun, shared_engine, shared_tiny

tiny, engine = shared_tiny, shared_engine

TOLERANCE = 2e-5
LAB_ONLY = ("sample.", "attn_scores.part", "attn.entropy.term", "attn.head_out.along", "mlp.vector", ".dot[")
"""Steps in between that the oracle has no name for, and those that it has without interventions only."""


def refs_of(view: View, rng: np.random.Generator) -> Iterator[tuple[str, float]]:
    """The named numbers of a view with their values; of strips and matrices a few places."""
    for block in view.blocks:
        if isinstance(block, Table):
            for row in [*block.rows, *([block.total] if block.total else [])]:
                yield from ((cell.ref, cell.value) for cell in row if cell.ref and cell.value is not None)
        elif isinstance(block, StackedStrips):
            for name, vector in zip(block.refs, block.values.numpy(), strict=True):
                index = int(rng.integers(len(vector)))
                if name:
                    yield element(name, index), float(vector[index])
        elif isinstance(block, Strip | Matrix) and block.ref:
            values = block.values.numpy()
            for _ in range(3):
                index = tuple(int(rng.integers(size)) for size in values.shape)
                yield element(block.ref, *index), float(values[index])


def check(explanation: Explanation, oracle: Any) -> None:
    scale = max(1.0, abs(explanation.value)) if math.isfinite(explanation.value) else 1.0
    assert explanation.delta <= TOLERANCE * scale, explanation
    if not any(part in explanation.ref for part in LAB_ONLY):
        expected = float(oracle.value(explanation.ref).reshape(()))
        assert explanation.value == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE), explanation


@pytest.mark.parametrize(
    ("position", "sampling"),
    [
        (0, SamplingSettings(greedy=True)),
        (4, SamplingSettings(temperature=0.7, top_k=6, top_p=0.9, seed=3)),
    ],
)
def test_every_number_of_every_view_is_explained_down_to_the_leaves(
    position: int | None, sampling: SamplingSettings, tiny: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    rng = np.random.default_rng(position or 9)
    oracle = oracle_of(tiny, tiny.tokenizer.encode(PROMPT))
    asked: dict[str, object] = {"run": "tiny", "text": PROMPT, "position": position, "sampling": sampling}
    leaves: set[str] = set()
    explained = 0

    @functools.cache
    def explain(ref: str) -> Explanation:
        found: Explanation = engine.explain(ref=ref, **asked)  # type: ignore[arg-type]
        check(found, oracle)
        return found

    for stage in STAGES:
        for layer in range(2 if stage in IN_LAYERS else 1):
            view = engine.view(stage=stage, layer=layer, head=1, **asked)  # type: ignore[arg-type]
            for ref, value in refs_of(view, rng):
                explanation = explain(ref)
                assert explanation.ref == ref
                if not math.isnan(value):
                    assert value == pytest.approx(explanation.value, rel=1e-4, abs=1e-5)
                explained += 1
                for _ in range(80):
                    below = [operand for operand in explanation.operands if operand.ref]
                    if not below:
                        leaves.add(explanation.ref.partition("[")[0])
                        break
                    operand = below[rng.integers(len(below))]
                    explanation = explain(operand.ref)
                    assert explanation.value == pytest.approx(operand.value, rel=1e-5, abs=1e-6)
                else:
                    pytest.fail(f"no leaf was reached below {ref}")
    assert explained > 400
    weights = {name for name, _ in tiny.model.named_parameters()}
    terms = {f"blocks.{layer}.attn.attn_scores.part" for layer in range(2)}  # written out by dimension, and no further
    assert leaves - weights <= {"tokens", "sample.u", "sample.low", *terms}
    assert len(leaves & weights) > 15


def test_a_weight_knows_what_it_was_before_training(make_run: MakeRun) -> None:
    tiny, engine = make_run(), InProcessEngine()
    ref = "h.1.mlp.c_fc.weight[5,3]"
    made = GPT(tiny.model.config, seed=tiny.run.config.train.seed).state_dict()["h.1.mlp.c_fc.weight"]
    explanation = engine.explain(stage="mlp", ref=ref)
    assert explanation.title == "W_in, layer 2: dimension 4 → neuron 6"
    assert explanation.initial == float(made[5, 3])
    assert explanation.value == float(tiny.model.state_dict()["h.1.mlp.c_fc.weight"][5, 3])

    tiny.run.snapshots_path.mkdir()
    state = {name: torch.full_like(weight, 0.125) for name, weight in tiny.model.state_dict().items()}
    save_file(state, tiny.run.snapshots_path / "00000000.safetensors", {"format": "pt", "step": "0"})
    again = InProcessEngine().explain(ExplainParams(run="tiny", text=PROMPT, stage="mlp", ref=ref))
    assert again.initial == 0.125


def test_what_has_no_number_is_refused_in_one_sentence(tiny: Any, engine: InProcessEngine) -> None:
    none = ("", "logits", "logits[1]x", "nothing[0]", "blocks.0.nothing[0,0]", "sample.u[99]", "embed.norm[0,1]")
    for ref in (*none, "blocks.9.resid_pre[0,0]", "blocks.0.attn.pattern[0,99,0]", "logits[99,0]", "logits[0,999]"):
        with pytest.raises(UserError, match=r"\.$"):
            engine.explain(stage="mlp", ref=ref)


def test_numbers_of_other_positions_than_the_last_are_explained_too(tiny: Any, engine: InProcessEngine, oracle_of: Any) -> None:
    oracle = oracle_of(tiny, tiny.tokenizer.encode(PROMPT))
    for position in range(len(tiny.tokenizer.encode(PROMPT))):
        found = engine.explain(stage="logits", ref=f"probability[{position},7]")
        assert found.value == pytest.approx(float(oracle.values["probability"][position, 7]), rel=1e-4)
