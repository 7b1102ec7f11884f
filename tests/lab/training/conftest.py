"""A run that was trained without an interruption, a clock that goes by the trainer's reading of it, a small disk, and ranks."""

import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab.runs.run_folder import Run
from tests.fixture_types import TinyRun
from tests.lab.conftest import make_shared_run, train_in_process
from tests.lab.training.distributed.rank_forker import RankForker
from tests.lab.training.module_forker import ModuleForker

TICK = 0.002
"""Seconds between two readings."""


@pytest.fixture
def ticking_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time goes by where the trainer reads it and nowhere else, so that a run by minutes has the same steps on every machine."""
    readings = itertools.count()

    def now() -> float:
        return next(readings) * TICK

    clock = SimpleNamespace(monotonic=now, perf_counter=now)
    monkeypatch.setattr("lab.training.training_setup.seconds_since_asked", lambda config: 0.0)
    monkeypatch.setattr("lab.training.run_length.time", clock)
    monkeypatch.setattr("lab.training.training_loop.time", clock)


@pytest.fixture(scope="session")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A `tiny_run()` that nothing befell, trained once for all tests that compare another with it."""
    run = make_shared_run(tmp_path_factory.mktemp("straight"))
    assert train_in_process(run).phase == "finished"
    return run


@pytest.fixture
def train_tiny(tiny_run: TinyRun) -> TinyRun:
    """Makes a run as `tiny_run` does and trains it, to its end or until a signal seems to come after a step."""

    def make(until: int | None = None, **settings: object) -> Run:
        run = tiny_run(**settings)
        train_in_process(run, until)
        return run

    return make


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB of its own, where this user may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def ranks(forker: ModuleForker) -> RankForker:
    """Starts ranks."""
    return RankForker(forker)
