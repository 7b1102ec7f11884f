"""A weight's update by AdamW, held to torch's optimizer, by Muon, and by a rule that the lab does not know."""

import pytest
import torch

from lab.runs.run_folder import Run
from lab.training.one_step.weight_update_view import adamw_update
from lab.views.blocks import Table
from tests.fixture_types import TinyRun, TrainHere
from tests.lab.training.one_step.taken_steps import SENTENCE, StepAsker, at_sentence


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_weight_that_follows_muon_is_written_out_in_its_terms(tiny_run: TinyRun, train_here: TrainHere, precision: str) -> None:
    run = tiny_run(optimizer="muon", precision=precision)
    with torch.enable_grad():
        train_here(run, until=12)
    ask = StepAsker(run)
    weights = ("h.0.attn.c_attn.weight[35,2]", "h.0.mlp.c_fc.weight[40,3]", "h.0.mlp.c_proj.weight[3,40]", "wte.weight[84,1]")
    for weight in weights:
        for applied in (0, 1):
            view = ask(stage="weight", weight=weight, applied=applied).view
            assert view.parity is not None
            assert view.parity.max_delta < 1e-6
            assert ("Newton" in str(view.blocks)) == weight.startswith("h.")
            assert ("m̂" in str(view.blocks)) == weight.startswith("wte")


def test_the_formula_of_adamw_is_torchs() -> None:
    weight = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([weight], lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)
    for gradient in (0.3, -0.02, 1e-9, 4.0):
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        update = adamw_update(weight, dict(optimizer.state.get(weight, {})), optimizer.param_groups[0], (0,), 1.0)
        optimizer.step()
        assert update.after == pytest.approx(float(weight), rel=1e-12)
        terms = {name: value for name, _, value in update.terms}
        for name, key in (("m", "exp_avg"), ("v", "exp_avg_sq")):
            assert terms[name] == pytest.approx(float(optimizer.state[weight][key]), rel=1e-12)
    clipped = adamw_update(weight, {}, optimizer.param_groups[0], (0,), 0.5)
    assert clipped.terms[0][1] == "8.00000 × 0.5000 (clipping)"


class Plain(torch.optim.SGD):
    """An optimizer that the lab does not know."""


def test_a_weight_that_follows_another_rule_is_shown_without_its_terms(trained: Run) -> None:
    step = at_sentence(trained)
    step.optimizer = step.trained.optimizer = Plain(step.model.parameters(), 1e-3)
    ask = StepAsker(trained)
    ask(text=SENTENCE)
    assert ask.methods._held is not None
    ask.methods._held.step = step
    view = ask(text=SENTENCE, stage="weight", weight="wte.weight[84,1]").view
    assert "follows Plain" in str(view.blocks)
    assert view.parity is None
    table = view.blocks[0]
    assert isinstance(table, Table)
    before, gradient, moved = (row[1].value or 0.0 for row in table.rows)
    assert table.total is not None
    assert moved == pytest.approx(-step.lr * gradient, rel=1e-3)
    assert table.total[1].value == pytest.approx(before + moved, rel=1e-6)
