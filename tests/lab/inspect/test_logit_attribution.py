"""Attribution against plain numpy in float64, and against what really happens when a head is switched off."""

import numpy as np
import pytest
import torch

from lab.inspect.logit_attribution import attribute
from models.config import ModelConfig
from models.gpt import GPT
from models.trace import Trace
from models.trace_edits import Edit

CONFIG = ModelConfig(layers=3, heads=2, width=16, context=8, vocab_size=30)
IDS = [3, 17, 0, 29]


@pytest.fixture(scope="module")
def model() -> GPT:
    model = GPT(CONFIG, seed=2).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in model.parameters():
            weight += torch.randn(weight.shape, generator=generator) * 0.3
    return model


@pytest.mark.parametrize(("token", "against"), [(7, None), (0, 29), (29, None)])
def test_the_shares_add_up_to_the_logit(model: GPT, token: int, against: int | None) -> None:
    found = attribute(model, Trace(model, IDS), 3, token, against)
    with torch.no_grad():
        logits = model(torch.tensor([IDS]))[0, 3]
    expected = float(logits[token] - (logits[against] if against is not None else 0.0))
    scale = float(logits.abs().max())
    assert found.logit == pytest.approx(expected, abs=1e-4)
    assert abs(found.leftover) <= 1e-3 * scale
    assert sum(each.value for each in found.contributions) == pytest.approx(expected, abs=1e-3 * scale)
    assert len(found.contributions) == 2 + 3 * (2 + 3) + 1


def test_a_share_is_the_centred_vector_times_gain_over_the_frozen_scale(model: GPT) -> None:
    trace = Trace(model, IDS)
    found = attribute(model, trace, 2, 11)
    x = trace["blocks.2.resid_post"][2].numpy().astype(np.float64)
    scale = np.sqrt(x.var() + 1e-5)
    gain, row = (w.detach().numpy().astype(np.float64) for w in (model.ln_f.weight, model.wte.weight[11]))
    z = trace["blocks.1.attn.z"][2, 1].numpy().astype(np.float64)
    written = model.get_parameter("h.1.attn.c_proj.weight").detach().numpy().astype(np.float64)[:, 8:16] @ z
    expected = ((written - written.mean()) / scale * gain) @ row
    share = next(each for each in found.contributions if each.label == "layer 2 head 2")
    assert share.value == pytest.approx(expected, rel=1e-4)


def test_a_head_that_is_off_has_no_share(model: GPT) -> None:
    found = attribute(model, Trace(model, IDS, [Edit("blocks.2.attn.z", "scale", head=0)]), 3, 5)
    assert next(each for each in found.contributions if each.label == "layer 3 head 1").value == 0.0
    assert abs(found.leftover) < 1e-3
