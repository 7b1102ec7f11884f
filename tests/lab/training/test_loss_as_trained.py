"""The loss of training, said in one place: whatever it is, all that computes, shows and judges it follows."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lab.runs.run_folder import Run
from lab.runs.run_schema import TrainConfig
from lab.training import trainer_state
from lab.training.model_as_trained import CrossEntropy, Distribution, ModelAsTrained
from lab.training.one_step.step_stages import STAGES
from lab.views.blocks import Table
from models.chunked_cross_entropy import ChunkLoss
from models.config import ModelConfig
from tests.fixture_types import TinyRun, TrainHere
from tests.lab.training.one_step.taken_steps import SENTENCE, StepAsker, at_sentence

pytestmark = pytest.mark.usefixtures("one_core")

SHAPE = ModelConfig(layers=1, heads=1, width=8, context=4, vocab_size=10)
SHARE, WEIGHT = 0.2, 0.1


def smoothed_chunk(logits: Tensor, target: Tensor, counted: Tensor, weights: Tensor | None, vocabulary: int) -> Tensor:
    """Label smoothing and z-loss, by autograd rather than by a formula."""
    own = logits[:, :vocabulary].detach()
    with torch.enable_grad():
        leaf = own.clone().requires_grad_()
        losses, _ = Smoothed().losses(leaf, target[:, 0])
        total = (losses * counted[:, 0]).sum()
        if weights is not None:
            (gradient,) = torch.autograd.grad((losses * weights[:, 0]).sum(), leaf)
            logits[:, :vocabulary] = gradient
    return total.detach()


class Smoothed(CrossEntropy):
    """Szegedy et al. 2016, section 7, with the z-loss of Chowdhery et al. 2022, section 5, whose target depends on the logits."""

    target_name = "smoothed"

    @property
    def chunk(self) -> ChunkLoss:
        return smoothed_chunk

    def target(self, logits: Tensor, id_: int) -> Distribution:
        p, z = logits.softmax(-1).numpy(), float(logits.logsumexp(-1))
        smooth = np.full(len(logits), SHARE / len(logits))
        smooth[id_] += 1 - SHARE
        found: Distribution = smooth - 2 * WEIGHT * z * p
        return found

    def losses(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        z = logits.logsumexp(-1)
        surprises = z - logits.gather(-1, targets[:, None])[:, 0]
        return (1 - SHARE) * surprises + SHARE * (z[:, None] - logits).mean(-1) + WEIGHT * z**2, surprises

    def formula(self, p: str) -> str:
        return f"smoothed loss of {p}"

    def uniform(self, vocab_size: int) -> float:
        return 123.0


LOSSES = pytest.mark.parametrize("loss", [CrossEntropy(), Smoothed()], ids=["cross entropy", "smoothed"])


@LOSSES
def test_the_loss_of_a_batch_and_its_gradient_are_those_of_its_predictions(
    loss: CrossEntropy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelAsTrained, "loss", loss)
    model = ModelAsTrained(SHAPE, TrainConfig(), seed=1).model.train()
    ids = torch.arange(8).reshape(2, 4)
    model.loss(ids, ids + 1).backward()  # type: ignore[no-untyped-call]
    trained = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    found = loss.losses(model(ids).flatten(0, 1), (ids + 1).flatten())[0].mean()
    found.backward()  # type: ignore[no-untyped-call]
    assert model.loss(ids, ids + 1).item() == pytest.approx(found.item(), rel=1e-6)
    for name, weight in model.named_parameters():
        assert weight.grad is not None
        assert torch.allclose(trained[name], weight.grad, atol=1e-6), name


@LOSSES
def test_p_minus_the_target_is_the_gradient_of_a_prediction_at_its_logits(loss: CrossEntropy) -> None:
    logits = torch.randn(7, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    loss.losses(logits[None], torch.tensor([3]))[0].sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    expected = logits.detach().softmax(-1).numpy() - loss.target(logits.detach(), 3)
    assert logits.grad.numpy() == pytest.approx(expected, abs=1e-12)


def test_the_loss_of_the_uniform_distribution() -> None:
    for size in (2, 512):
        loss, _ = CrossEntropy().losses(torch.zeros(1, size, dtype=torch.float64), torch.tensor([0]))
        assert CrossEntropy().uniform(size) == pytest.approx(float(loss)) == math.log(size)


def test_the_title_of_the_stage_is_that_of_the_loss() -> None:
    assert STAGES["logits_gradient"] == f"p − {ModelAsTrained.loss.target_name}"


@pytest.fixture
def smoothed(tiny_run: TinyRun, train_here: TrainHere, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, list[float]]:
    """A run that was trained for 12 steps with the other loss, and the uniform losses that its steps were judged by."""
    judged: list[float] = []
    is_bad = trainer_state.SpikeDetector.is_bad

    def noted(detector: Any, loss: float, grad_norm: float, uniform_loss: float) -> bool:
        judged.append(uniform_loss)
        return is_bad(detector, loss, grad_norm, uniform_loss)

    monkeypatch.setattr(ModelAsTrained, "loss", Smoothed())
    monkeypatch.setattr(trainer_state.SpikeDetector, "is_bad", noted)
    run = tiny_run(precision="fp32", optimizer="adamw")
    train_here(run, until=12)
    return run, judged


def test_the_trainer_and_one_step_follow_another_loss(smoothed: tuple[Run, list[float]]) -> None:
    run, judged = smoothed
    with torch.no_grad():
        ask, step = StepAsker(run), at_sentence(run)
        step.go_to(0)
        losses = ask(text=SENTENCE, stage="losses", position=3).view
        gradient = ask(text=SENTENCE, stage="logits_gradient", position=3).view
        picture = ask(text=SENTENCE, stage="backward", position=3).backward
        assert step.would_be_skipped is False
    assert set(judged) == {123.0}
    assert step.current.loss == pytest.approx(step.current.mean, rel=1e-5), "the trainer's own loss is the mean of those shown"
    assert "smoothed loss of" in losses.sentence
    assert gradient.title == "p − smoothed at token 4"
    assert picture is not None
    assert picture.target == "smoothed"
    table, target = gradient.blocks[0], int(step.batch.targets[0, 2])
    assert isinstance(table, Table)
    assert table.columns[2].title == "smoothed"
    assert step.current.hidden is not None
    logits = step.logits_of(step.current.hidden, step.head_at(0))[2].double()
    error = float(logits.softmax(-1)[target]) - float(Smoothed().target(logits, target)[target])
    assert picture.errors[0].value == pytest.approx(error, abs=1e-6)
    assert any(row[3].value == pytest.approx(error, abs=1e-6) for row in table.rows)
