"""A weight's update by AdamW, held to torch's optimizer, and by a rule that the lab does not know."""

import pytest
import torch

from lab.engine.method_registry import OneStepParams
from lab.engine.one_step_methods import OneStepMethods
from lab.one_step.weight_update_view import adamw_update
from lab.runs.run_folder import Run
from lab.views.blocks import Table
from models.unembed import finish
from tests.lab.one_step.taken_steps import SENTENCE, at_sentence


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


class Plain(torch.optim.SGD):
    """An optimizer that the lab does not know."""


def test_a_weight_that_follows_another_rule_is_shown_without_its_terms(trained: Run) -> None:
    step = at_sentence(trained)
    step.trained.optimizer = Plain(step.model.parameters(), 1e-3)
    methods = OneStepMethods()
    finish(methods.one_step(OneStepParams(run=str(trained.path), text=SENTENCE)))
    assert methods._held is not None
    methods._held.step = step
    view = finish(
        methods.one_step(OneStepParams(run=str(trained.path), text=SENTENCE, stage="weight", weight="wte.weight[84,1]"))
    ).view
    assert "follows Plain" in str(view.blocks)
    assert view.parity is None
    table = view.blocks[0]
    assert isinstance(table, Table)
    before, gradient, moved = (row[1].value or 0.0 for row in table.rows)
    assert table.total is not None
    assert moved == pytest.approx(-step.lr * gradient, rel=1e-3)
    assert table.total[1].value == pytest.approx(before + moved, rel=1e-6)
