"""Checkpoints that a step starts from: damaged, without optimizer state, older than the run."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from lab.core.errors import UserError
from lab.runs.run_folder import Run
from lab.runs.run_schema import Status
from lab.runs.schema_parts import TuningConfig
from lab.runs.weights_file import load_model
from lab.training.one_step.starting_point import open_checkpoint
from models.optimizers import MuonAdamW
from tests.lab.training.one_step.taken_steps import StepAsker


def test_the_run_on_disk_is_only_read_and_a_damaged_checkpoint_left_where_it_is(trained: Run) -> None:
    last = trained.path / "last.safetensors"
    damaged = bytearray(last.read_bytes())
    damaged[-5] ^= 1
    last.write_bytes(damaged)

    def files() -> dict[Path, str]:
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in trained.path.rglob("*") if path.is_file()}

    before = files()
    answer = StepAsker(trained)(applied=2, stage="after")
    assert files() == before
    assert answer.facts.checkpoint == "previous"
    assert answer.facts.applied == 2


def test_a_run_without_optimizer_state_begins_anew_and_says_so(trained: Run) -> None:
    for name in ("last", "previous"):
        (trained.path / f"{name}.safetensors").unlink()
    ask = StepAsker(trained)
    answer = ask()
    assert (answer.facts.checkpoint, answer.facts.step) == ("best", 10)
    assert "optimizer starts fresh" in str(answer.view.blocks[-1])
    moved = ask(stage="changes")
    assert "Adam's first step is g ÷ (|g| + 1e−8) times the learning rate" in str(moved.view.blocks[-1])
    best = load_model(trained, "best")[0].state_dict()
    step = open_checkpoint(trained).trained
    assert all(torch.equal(best[name], weight) for name, weight in step.model.state_dict().items())


def test_a_step_from_the_best_weights_computes_as_the_run(
    tiny_run: Callable[..., Run], train_here: Callable[..., Status]
) -> None:
    run = tiny_run(optimizer="muon", precision="fp32")
    with torch.enable_grad():
        train_here(run, until=12)
    for name in ("last", "previous"):
        (run.path / f"{name}.safetensors").unlink()
    optimizer = open_checkpoint(run).trained.optimizer
    assert isinstance(optimizer, MuonAdamW)
    assert optimizer.dtype == torch.float32


def test_a_posttrained_run_is_refused_since_its_steps_are_none_of_pretraining(empty_run: Callable[..., Run]) -> None:
    run = empty_run("tale-sft")
    tuning = TuningConfig(base="tale", base_step=20, base_sha256="", method="sft", pairs=16, rounds=0, beta=0.0)
    (run.path / "config.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(run.config, tuning=tuning)))
    with pytest.raises(UserError, match=r"tale-sft was post-trained .* One step of its base, tale, can be watched"):
        open_checkpoint(Run(run.path))


def test_a_run_that_has_trained_on_is_said_to_have_and_read_again_when_asked(
    trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = StepAsker(trained)
    before = ask()
    assert "trained on" not in str(before.view)
    assert "For step 13 the trainer would take these" in ask(stage="batch").view.sentence
    monkeypatch.setattr(Run, "phase", lambda run: "training")
    monkeypatch.setattr(Run, "status", lambda run: Status(phase="training", step=25))
    view = ask().view
    assert "For step 13 the trainer takes these" in ask(stage="batch").view.sentence
    assert "The run has trained on since, to step 25; r reads the newest checkpoint." in str(view.blocks)
    (trained.path / "last.safetensors").unlink()
    assert ask().facts == before.facts
    assert ask(opened=1).facts.checkpoint == "previous"
