"""A run whose weights are in memory is held, and let go when it is asked for or has made room for others."""

from typing import Any

import pytest

from lab.inspect import model_cache
from lab.runs.run_locks import inspect_lock_is_held
from tests.lab.engine.conftest import InProcessEngine


def test_an_open_run_is_held_until_it_is_let_go(tiny: Any, engine: InProcessEngine) -> None:
    assert not inspect_lock_is_held(tiny.run.path)
    engine.open()
    assert inspect_lock_is_held(tiny.run.path)
    assert engine.release(path=str(tiny.run.path))
    assert not inspect_lock_is_held(tiny.run.path)
    engine.open()
    assert inspect_lock_is_held(tiny.run.path)
    engine.release(path="/another/run")
    assert inspect_lock_is_held(tiny.run.path)
    engine.release(path=str(tiny.run.path))


def test_a_run_that_made_room_is_held_no_longer(make_run: Any, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_cache, "WEIGHTS_BUDGET", 0)
    runs = [make_run(name).run for name in ("first", "second", "third")]
    for run in runs:
        engine.open(run=run.name)
    assert [inspect_lock_is_held(run.path) for run in runs] == [False, True, True]
    for run in runs:
        engine.release(path=str(run.path))
