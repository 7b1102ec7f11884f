"""Learning rate over a run's steps or minutes in real training."""

import math

import pytest

from lab.training import run_length
from tests.fixture_types import TinyRun, TrainHere


def test_a_run_follows_wsd_by_steps(tiny_run: TinyRun, train_here: TrainHere) -> None:
    run = tiny_run(steps=40, schedule="wsd", warmup=0.1, lr=1e-3)
    assert train_here(run).phase == "finished"
    rates = [metric.lr for metric in run.metrics().read() if metric.lr is not None]
    assert rates[:4] == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3])
    assert rates[4:32] == [1e-3] * 28
    assert rates[33] == pytest.approx(1e-4 + 9e-4 * (1 - math.sqrt(2 / 8)))
    assert rates[-1] == pytest.approx(1e-4)


@pytest.mark.usefixtures("ticking_clock")
def test_a_run_follows_wsd_by_minutes(tiny_run: TinyRun, train_here: TrainHere) -> None:
    run = tiny_run(steps=None, minutes=0.008, schedule="wsd", lr=1e-3)
    train_here(run)
    metrics = [metric for metric in run.metrics().read() if metric.lr is not None]
    middle = [metric.lr for metric in metrics if 0.1 < metric.seconds / 0.48 < 0.75]
    assert middle == [1e-3] * len(middle)
    assert len(middle) > 3
    assert metrics[-1].lr is not None
    assert metrics[-1].lr < 4e-4


@pytest.mark.usefixtures("ticking_clock")
def test_minutes_of_steps_leave_out_evaluations_and_samples(
    tiny_run: TinyRun, train_here: TrainHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_samples(*_: object) -> list[object]:
        for _reading in range(100):
            run_length.time.monotonic()
        return []

    monkeypatch.setattr("lab.training.training_loop.write_samples", slow_samples)
    steps = {}
    for alone in (False, True):
        run = tiny_run(name=f"alone-{alone}", steps=None, minutes=0.008, eval_every=2, minutes_of_steps=alone)
        done = train_here(run)
        assert done.phase == "finished"
        assert 0.48 <= done.seconds < 0.48 + 0.4
        steps[alone] = done.step
    assert steps[True] > 5 * steps[False]
