"""Checkpoints that a step starts from: damaged, without optimizer state, older than the run."""

import hashlib
from pathlib import Path

import pytest
import torch

from lab.engine.method_registry import OneStepParams
from lab.engine.one_step_methods import OneStepMethods
from lab.one_step.open_checkpoint import open_checkpoint
from lab.runs.run_folder import Run
from lab.runs.run_schema import Status
from lab.runs.weights_file import load_model
from models.unembed import finish


def test_the_run_on_disk_is_only_read_and_a_damaged_checkpoint_left_where_it_is(trained: Run) -> None:
    last = trained.path / "last.safetensors"
    damaged = bytearray(last.read_bytes())
    damaged[-5] ^= 1
    last.write_bytes(damaged)

    def files() -> dict[Path, str]:
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in trained.path.rglob("*") if path.is_file()}

    before = files()
    answer = finish(OneStepMethods().one_step(OneStepParams(run=str(trained.path), applied=2, stage="after")))
    assert files() == before
    assert answer.facts.checkpoint == "previous"
    assert answer.facts.applied == 2


def test_a_run_without_optimizer_state_begins_anew_and_says_so(trained: Run) -> None:
    for name in ("last", "previous"):
        (trained.path / f"{name}.safetensors").unlink()
    methods = OneStepMethods()
    answer = finish(methods.one_step(OneStepParams(run=str(trained.path))))
    assert (answer.facts.checkpoint, answer.facts.step) == ("best", 10)
    assert "optimizer starts fresh" in str(answer.view.blocks[-1])
    moved = finish(methods.one_step(OneStepParams(run=str(trained.path), stage="changes")))
    assert "Adam's first step is g ÷ (|g| + 1e−8) times the learning rate" in str(moved.view.blocks[-1])
    best = load_model(trained, "best")[0].state_dict()
    step = open_checkpoint(trained)
    assert all(torch.equal(best[name], weight) for name, weight in step.model.state_dict().items())


def test_a_run_that_has_trained_on_is_said_to_have_and_read_again_when_asked(
    trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = OneStepMethods()
    before = finish(methods.one_step(OneStepParams(run=str(trained.path))))
    assert "trained on" not in str(before.view)
    monkeypatch.setattr(Run, "phase", lambda run: "training")
    monkeypatch.setattr(Run, "status", lambda run: Status(phase="training", step=25))
    view = finish(methods.one_step(OneStepParams(run=str(trained.path)))).view
    assert "The run has trained on since, to step 25; r reads the newest checkpoint." in str(view.blocks)
    (trained.path / "last.safetensors").unlink()
    assert finish(methods.one_step(OneStepParams(run=str(trained.path)))).facts == before.facts
    assert finish(methods.one_step(OneStepParams(run=str(trained.path), opened=1))).facts.checkpoint == "previous"
