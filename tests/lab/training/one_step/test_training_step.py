"""One training step under the microscope, held to the trainer, to autograd and to finite differences."""

import math

import numpy as np
import pytest
import torch
from msgspec.structs import force_setattr
from torch.nn.functional import cross_entropy

from lab.core.errors import UserError
from lab.runs.run_folder import Run
from lab.runs.weights_file import load_model
from lab.training.gradient_accumulation import dropout_seed
from lab.training.one_step.starting_point import open_checkpoint
from lab.training.one_step.training_step import TrainingStep
from lab.training.run_length import Clock, RunLength, Throughput
from models.gpt import GPT
from tests.fixture_types import TinyRun, TrainHere
from tests.lab.training.compare_runs import settings_of_a_step
from tests.lab.training.one_step.taken_steps import (
    StepAsker,
    assert_same,
    at_next_batch,
    at_sentence,
    everything,
    loss_in_doubles,
)


@pytest.mark.parametrize(
    "settings",
    [{"optimizer": "adamw"}, {"precision": "bf16"}, *({name: value} for name, value in settings_of_a_step().items())],
    ids=str,
)
def test_the_step_is_the_trainers_own_bit_for_bit(tiny_run: TinyRun, train_here: TrainHere, settings: dict[str, object]) -> None:
    run = tiny_run(**settings, eval_every=30)
    with torch.enable_grad():
        train_here(run, until=4)
    step = at_next_batch(run)
    assert (step.checkpoint.name, step.state.step, step.checkpoint.has_fresh_optimizer) == ("last", 4, False)
    step.go_to(1)
    with torch.enable_grad():
        train_here(run, until=5)
    metric = run.metrics().read()[-1]
    assert metric.step == 5
    assert step.snapshots[0].loss == pytest.approx(metric.loss, abs=6e-6)
    assert step.snapshots[0].lr == pytest.approx(metric.lr, rel=1e-5)
    trainers = open_checkpoint(run)
    assert trainers.state.step == 5
    assert_same(everything(step), everything(trainers.trained))
    assert_same(dict(trainers.trained.model.named_parameters()), load_model(run, "last")[0].state_dict())


def test_the_mean_of_the_tokens_losses_is_the_batchs_and_the_norms_add_up_to_the_clipped_one(trained: Run) -> None:
    step = at_next_batch(trained)
    step.go_to(0)
    assert float(step.current.losses.double().mean()) == pytest.approx(step.current.loss, rel=1e-6)
    squares = sum(norm**2 for norm in step.gradients.norms.values())
    assert math.sqrt(squares) == pytest.approx(step.gradients.total, rel=1e-6)
    clipped = math.sqrt(sum(float(w.grad.norm()) ** 2 for w in step.model.parameters() if w.grad is not None))
    assert clipped == pytest.approx(step.gradients.total * step.gradients.factor, rel=1e-5)


def in_doubles(run: Run) -> TrainingStep:
    step = at_sentence(run)
    step.model.double()
    force_setattr(step.run.config.train, "clip", 1e9)
    step.go_to(0)
    return step


def test_gradients_are_autograds_and_those_of_central_differences(trained: Run) -> None:
    step = in_doubles(trained)
    assert step.current.loss == pytest.approx(loss_in_doubles(step), rel=1e-12)
    independent = GPT(trained.config.model, seed=None).double().eval()
    independent.load_state_dict(step.model.state_dict())
    with torch.enable_grad():
        logits = independent(torch.from_numpy(step.batch.ids)).flatten(0, 1)
        cross_entropy(logits, torch.from_numpy(step.batch.targets).flatten()).backward()  # type: ignore[no-untyped-call]
    random = np.random.default_rng(0)
    for name, weight in step.model.named_parameters():
        expected, own = independent.get_parameter(name).grad, weight.grad
        assert expected is not None
        assert own is not None
        assert torch.allclose(own, expected, rtol=1e-10, atol=1e-14), name
        assert step.gradients.norms[name] == pytest.approx(float(expected.norm()), rel=1e-10)
        flat, epsilon = weight.view(-1), 1e-5
        for at in random.integers(0, flat.numel(), 4).tolist():
            kept = float(flat[at])
            sides = []
            for side in (1, -1):
                flat[at] = kept + side * epsilon
                sides.append(loss_in_doubles(step))
            flat[at] = kept
            assert float(own.view(-1)[at]) == pytest.approx((sides[0] - sides[1]) / (2 * epsilon), rel=1e-5, abs=1e-9), name


def test_the_pass_in_fp32_has_the_dropout_masks_of_the_step(in_bf16: Run) -> None:
    step = at_next_batch(in_bf16)
    step.go_to(0)
    assert step.batch.step is not None
    torch.manual_seed(dropout_seed(in_bf16.config.train.seed, step.batch.step))
    step.model.train()
    halves = [torch.from_numpy(ids).tensor_split(2) for ids in (step.batch.ids, step.batch.targets)]
    losses = [float(step.model.loss(ids, targets)) for ids, targets in zip(*halves, strict=True)]
    assert step.current.mean == pytest.approx(sum(losses) / 2, rel=1e-6)
    assert step.current.mean != step.current.loss
    assert step.current.mean == pytest.approx(step.current.loss, rel=0.01)
    view = StepAsker(in_bf16)(stage="logits_gradient").view
    assert view.parity is None
    assert "With dropout off, as in Inspect" in str(view.blocks[-1])


def test_the_lr_of_a_run_by_minutes_is_the_trainers(tiny_run: TinyRun, train_here: TrainHere) -> None:
    run = tiny_run(steps=None, minutes=5.0)
    with torch.enable_grad():
        train_here(run, until=3)
    step = at_sentence(run)
    assert 0 < step.state.step_seconds < 5
    step.state.seconds, step.state.step_seconds = 100.0, 20.0
    clock, speed = Clock(100.0), Throughput(20.0)
    clock.stop()
    first = RunLength(run.config, step.state, clock, speed).lr
    assert step.lr == pytest.approx(first, rel=1e-4)
    step.applied = 2
    assert step.lr == pytest.approx(RunLength(run.config, step.state, Clock(140.0), speed).lr, rel=1e-3)
    assert step.lr < first


def test_weights_that_diverged_are_told_in_a_sentence(trained: Run) -> None:
    step = at_sentence(trained)
    step.model.ln_f.weight[0] = math.nan
    with pytest.raises(UserError, match="NaN or inf"):
        step.go_to(0)
