"""fp16 on the CPU: torch's own scaler, in the trainer, with steps that overflow, stops and resumes."""

import math

import msgspec
import pytest
import torch

from lab.training import loss_scaling
from lab.training.loss_scaling import LossScaler
from lab.training.trainer_state import LossScale, TrainerState
from models.config import ModelConfig
from models.gpt import GPT
from tests.fixture_types import TinyRun, TrainHere
from tests.lab.training.compare_runs import assert_same_run

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture
def large_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first scale at which the gradients of a tiny run overflow some times."""
    monkeypatch.setattr(loss_scaling, "FIRST_SCALE", 2.0**24)


@pytest.mark.usefixtures("large_scale")
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_steps_that_overflow_are_skipped_counted_and_told_once_also_if_interrupted(
    tiny_run: TinyRun, train_here: TrainHere, optimizer: str
) -> None:
    run, broken = (tiny_run(precision="fp16", optimizer=optimizer, steps=20, eval_every=20) for _ in range(2))
    status = train_here(run)
    assert (status.phase, status.precision) == ("finished", "fp16")
    metrics = run.metrics().read()[1:]
    skipped = [metric.step for metric in metrics if metric.grad_norm is None]
    assert skipped == list(range(1, len(skipped) + 1))
    assert 2 <= len(skipped) <= 9
    assert all(metric.loss is not None for metric in metrics), "the loss itself is not scaled"
    kinds = [event.kind for event in run.events().read()]
    assert "bad_step" not in kinds
    (told,) = [event for event in run.events().read() if event.kind == "computing"]
    assert told.step == len(skipped) + 1
    assert told.text == (
        f"The gradients of {len(skipped)} steps overflowed in fp16, so that their updates were not applied; since step "
        f"{told.step} the loss is scaled by {2 ** (24 - len(skipped)):,}."
    )
    assert f", {len(skipped)} steps skipped" in status.computed
    for stop in (1, 2, 12):
        assert train_here(broken, until=stop).phase == "stopped"
    assert train_here(broken).phase == "finished"
    assert_same_run(run, broken)
    assert [event.text for event in broken.events().read() if event.kind == "computing"] == [told.text]


def test_in_fp16_a_run_learns_as_in_fp32(train_tiny: TinyRun) -> None:
    runs = (train_tiny(precision=precision, dropout=0.0, eval_every=30) for precision in ("fp16", "fp32"))
    low, full = ([metric.loss for metric in run.metrics().read()[1:]] for run in runs)
    assert low == pytest.approx(full, abs=0.02)
    assert low[0] == pytest.approx(math.log(256), abs=0.1)


@pytest.fixture
def model() -> GPT:
    return GPT(ModelConfig(layers=1, heads=1, width=4, context=4, vocab_size=5))


def test_a_gradient_that_overflows_at_no_scale_is_a_bad_step(model: GPT) -> None:
    """Scaling is not blamed for ever: at a scale of 1 the trainer's own judgement of bad steps takes over."""
    state = TrainerState(precision="fp16", loss_scale=LossScale(4.0))
    scaler = LossScaler(state, model, torch.optim.SGD([model.wte.weight], lr=1.0))
    judged = []
    for _ in range(3):
        model.wte.weight.grad = torch.full((5, 4), math.inf)
        scaler.unscale()
        judged.append(scaler.is_overflow(2.0, math.inf))
        scaler.end_step(skipped=judged[-1], applied=False)
    assert judged == [True, True, False]
    assert state.loss_scale == LossScale(0.5, 0, 2)
    assert not scaler.is_overflow(math.nan, math.inf), "a forward pass that overflows is no matter of the scale"


def test_the_scale_grows_again_after_two_thousand_steps(model: GPT) -> None:
    state = TrainerState(precision="fp16", loss_scale=LossScale(8.0, growth_tracker=1998, is_found=True))
    scaler = LossScaler(state, model, torch.optim.SGD([model.wte.weight], lr=1.0))
    factors = []
    for _ in range(2):
        assert model.gradient_scale is not None
        factors.append(float(model.gradient_scale))
        model.wte.weight.grad = model.gradient_scale * torch.ones(5, 4)
        scaler.unscale()
        assert torch.equal(model.wte.weight.grad, torch.ones(5, 4))
        assert scaler.end_step(skipped=False, applied=True) == ""
    assert factors == [8.0, 8.0]
    assert state.loss_scale == LossScale(16.0, 0, 0, True)


def test_the_state_of_a_run_without_scaling_is_written_as_before() -> None:
    assert b"loss_scale" not in msgspec.json.encode(TrainerState(precision="bf16"))
    state = TrainerState(precision="fp16", loss_scale=LossScale(8.0, 3, 1, True), compiled=False)
    assert msgspec.json.decode(msgspec.json.encode(state), type=TrainerState) == state
