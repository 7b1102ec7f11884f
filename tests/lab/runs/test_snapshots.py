"""Snapshots of the weights, thinned as training goes on."""

from itertools import pairwise

import pytest

from lab.runs import snapshots
from lab.runs.snapshots import save_snapshot
from tests.fixture_types import EmptyRun
from tests.lab.trainee import Trainee

pytestmark = pytest.mark.usefixtures("one_core")


def test_snapshots_are_thinned_evenly_and_keep_both_ends(empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = empty_run()
    trainee = Trainee(run)
    save_snapshot(run, trainee.model, 1)
    size = run.snapshots()[0].bytes
    monkeypatch.setattr(snapshots, "SNAPSHOT_BYTES", 8 * size)
    for step in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 640, 768, 896):
        save_snapshot(run, trainee.model, step)
        steps = [file.step for file in run.snapshots()]
        assert steps[0] in (0, 1)
        assert steps[-1] == step or step == 0
    assert len(steps) <= 7
    ratios = [(later + 1) / (earlier + 1) for earlier, later in pairwise(steps)]
    assert max(ratios) < 9, steps
