"""A weight's update by Muon, in its terms."""

import pytest
import torch

from lab.engine.method_registry import OneStepParams
from lab.engine.one_step_methods import OneStepMethods
from models.unembed import finish
from tests.fixture_types import TinyRun, TrainHere


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_weight_that_follows_muon_is_written_out_in_its_terms(tiny_run: TinyRun, train_here: TrainHere, precision: str) -> None:
    run = tiny_run(optimizer="muon", precision=precision)
    with torch.enable_grad():
        train_here(run, until=12)
    methods = OneStepMethods()
    weights = ("h.0.attn.c_attn.weight[35,2]", "h.0.mlp.c_fc.weight[40,3]", "h.0.mlp.c_proj.weight[3,40]", "wte.weight[84,1]")
    for weight in weights:
        for applied in (0, 1):
            view = finish(methods.one_step(OneStepParams(run=str(run.path), stage="weight", weight=weight, applied=applied))).view
            assert view.parity is not None
            assert view.parity.max_delta < 1e-6
            assert ("Newton" in str(view.blocks)) == weight.startswith("h.")
            assert ("m̂" in str(view.blocks)) == weight.startswith("wte")
