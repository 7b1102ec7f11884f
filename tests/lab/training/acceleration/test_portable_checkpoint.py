"""Checkpoints of a fused optimizer and of an unfused one: each loads the other's state and goes on with it."""

import pytest
import torch

from lab.training.checkpoint import load_optimizer, optimizer_tensors
from models import optimizers
from models.config import ModelConfig
from models.gpt import GPT

CONFIG = ModelConfig(layers=1, heads=1, width=8, context=8, vocab_size=20)


def steps(model: GPT, optimizer: torch.optim.Optimizer, first: int, count: int) -> None:
    for step in range(first, first + count):
        ids = torch.randint(20, (2, 8), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model.loss(ids, ids.roll(1, 1)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@pytest.mark.parametrize("rule", ["adamw", "muon"])
@pytest.mark.parametrize("order", [(True, False), (False, True)], ids=["fused to plain", "plain to fused"])
def test_the_state_of_one_kind_serves_the_other(
    rule: optimizers.OptimizerName, order: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As between a GPU, an MPS device and a CPU: a fused optimizer keeps its step count on the device, a plain one on the CPU."""

    def made(fused: bool, model: GPT) -> torch.optim.Optimizer:
        monkeypatch.setattr(optimizers, "FUSED_ON", ("cpu",) if fused else ())
        optimizer = optimizers.make_optimizer(model, 1e-2, rule=rule)
        optimizers.set_muon_dtype(optimizer, torch.float32)
        return optimizer

    straight, moved, target = (GPT(CONFIG, seed=1) for _ in range(3))
    steps(straight, made(order[0], straight), 0, 6)
    first = made(order[0], moved)
    steps(moved, first, 0, 3)
    target.load_state_dict(moved.state_dict())
    second = made(order[1], target)
    load_optimizer(target, second, {name: value.clone() for name, value in optimizer_tensors(moved, first).items()})
    steps(target, second, 3, 3)
    for one, other in zip(straight.parameters(), target.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
