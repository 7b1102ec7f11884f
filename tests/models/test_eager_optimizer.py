"""Optimizers that do not load torch's compiler, and are torch's in every bit."""

import subprocess
import sys

import torch

from models.config import ModelConfig
from models.gpt import GPT
from models.optimizers import make_optimizer

CONFIG = ModelConfig(layers=1, heads=2, width=8, context=16, vocab_size=23)
IDS = torch.arange(16)[None]

WITHOUT_COMPILER = """
import sys, torch
from models.gpt import GPT
from models.optimizers import make_optimizer
from tests.models.optimizers.test_eager_optimizer import CONFIG, IDS
for rule in ("adamw", "muon"):
    model = GPT(CONFIG)
    optimizer = make_optimizer(model, 1e-3, rule=rule)
    model.loss(IDS, IDS).backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
raise SystemExit("torch._dynamo" in sys.modules)
"""


def test_no_method_loads_the_compiler() -> None:
    assert subprocess.run([sys.executable, "-c", WITHOUT_COMPILER]).returncode == 0


def test_adamw_is_torchs() -> None:
    models = GPT(CONFIG, 1), GPT(CONFIG, 1)
    ours = make_optimizer(models[0], 1e-2)
    groups = [{"params": [w for w in models[1].parameters() if (w.dim() >= 2) is decays]} for decays in (True, False)]
    groups[0]["weight_decay"], groups[1]["weight_decay"] = 0.1, 0.0  # type: ignore[assignment]
    theirs = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), fused=True)
    for _ in range(3):
        for model, optimizer in zip(models, (ours, theirs), strict=True):
            model.loss(IDS, IDS).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
    assert all(torch.equal(one, other) for one, other in zip(*(model.parameters() for model in models), strict=True))
    kept = [optimizer.state_dict() for optimizer in (ours, theirs)]
    assert kept[0]["param_groups"][0].keys() - {"rule"} == kept[1]["param_groups"][0].keys()
