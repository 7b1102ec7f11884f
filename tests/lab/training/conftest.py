"""A clock that goes by the trainer's reading of it."""

import itertools
from types import SimpleNamespace

import pytest

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
