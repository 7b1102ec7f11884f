"""Weights of a run: opened by name, refused in words; snapshots, thinned as training goes on."""

import os
from itertools import pairwise

import pytest
import torch

from lab.core.errors import UserError
from lab.core.safetensors_file import is_whole, read_metadata
from lab.runs import weights_file
from lab.runs.weights_file import load_model, save_best, save_snapshot
from tests.fixture_types import EmptyRun
from tests.lab.trainee import Trainee, loaded

pytestmark = pytest.mark.usefixtures("one_core")


def test_weights_are_opened_by_name(empty_run: EmptyRun) -> None:
    run = empty_run()
    trainee = Trainee(run, 1)
    save_snapshot(run, trainee.model, 0)
    save_snapshot(run, trainee.model, 1)
    trainee.save(run)
    assert load_model(run, "best")[1] == 1
    trainee.train(1)
    save_best(run, trainee.model, 2, 3.5)
    trainee.train(1)
    trainee.save(run)
    assert [(name, load_model(run, name)[1]) for name in ("best", "last", "previous", "1", "00000001", "0")] == [
        ("best", 2),
        ("last", 3),
        ("previous", 1),
        ("1", 1),
        ("00000001", 1),
        ("0", 0),
    ]
    model, _ = load_model(run, "last")
    assert not model.training
    assert all(torch.equal(weight, trainee.model.state_dict()[name]) for name, weight in model.state_dict().items())
    rounded, _ = load_model(run, "1")
    for name, weight in rounded.state_dict().items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, Trainee(run, 1).model.state_dict()[name].bfloat16().float())
    with pytest.raises(UserError, match="no checkpoint called '7'; there are best and last, and snapshots of steps: 0, 1"):
        load_model(run, "7")
    best = read_metadata(run.path / "best.safetensors") or {}
    assert (best["val_loss"], best["step"]) == ("3.5", "2")
    assert is_whole(run.path / "best.safetensors")


def test_weights_of_another_shape_are_refused_in_words(empty_run: EmptyRun) -> None:
    run, other = empty_run(), empty_run("other")
    Trainee(run).save(run)
    os.replace(run.path / "last.safetensors", other.path / "last.safetensors")
    path = other.path / "config.json"
    path.write_bytes(path.read_bytes().replace(b'"width":16', b'"width":32'))
    with pytest.raises(UserError, match="does not fit the model of other"):
        load_model(other)
    with pytest.raises(UserError, match=r"The config.json of other has changed since its last checkpoint"):
        loaded(other)


def test_snapshots_are_thinned_evenly_and_keep_both_ends(empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = empty_run()
    trainee = Trainee(run)
    save_snapshot(run, trainee.model, 1)
    size = run.snapshots()[0].bytes
    monkeypatch.setattr(weights_file, "SNAPSHOT_BYTES", 8 * size)
    for step in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 640, 768, 896):
        save_snapshot(run, trainee.model, step)
        steps = [file.step for file in run.snapshots()]
        assert steps[0] in (0, 1)
        assert steps[-1] == step or step == 0
    assert len(steps) <= 7
    ratios = [(later + 1) / (earlier + 1) for earlier, later in pairwise(steps)]
    assert max(ratios) < 9, steps
