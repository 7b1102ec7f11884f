"""A run that was trained without an interruption, and a clock that goes by the trainer's reading of it."""

import itertools
from types import SimpleNamespace

import pytest

from lab.runs.run_folder import Run
from tests.lab.conftest import make_shared_run, train_in_process

TICK = 0.002
"""Seconds between two readings."""


@pytest.fixture
def ticking_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time goes by where the trainer reads it and nowhere else, so that a run by minutes has the same steps on every machine."""
    readings = itertools.count()

    def now() -> float:
        return next(readings) * TICK

    clock = SimpleNamespace(monotonic=now, perf_counter=now)
    monkeypatch.setattr("lab.training.training_clock.time", clock)
    monkeypatch.setattr("lab.training.training_loop.time", clock)


@pytest.fixture(scope="session")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A `tiny_run()` that nothing befell, trained once for all tests that compare another with it."""
    run = make_shared_run(tmp_path_factory.mktemp("straight"))
    assert train_in_process(run).phase == "finished"
    return run
