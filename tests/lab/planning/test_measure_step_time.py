import threading
import time
from pathlib import Path

import pytest
import torch

from lab.core.child_process import MeasuringProcess
from lab.core.errors import UserError
from lab.planning.step_time import TIMES, StepTimer, TimingJob, step_key
from lab.runs.run_schema import TrainConfig
from lab.training.time_steps import time_steps
from models.config import ModelConfig
from tests.lab.training.compare_runs import short_of_memory

MODEL = ModelConfig(layers=1, heads=1, width=16, context=16, vocab_size=300)
TRAIN = TrainConfig(batch=4, threads=1, device="cpu", accumulate=2)


def test_a_step_is_timed_once_for_a_machine_and_a_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some milliseconds for a model that small; seconds would be the start of Python or torch."""
    monkeypatch.setattr("lab.core.child_process.MOST_HELD_UP", 1.0)
    home = tmp_path / "home"
    seconds = StepTimer(MODEL, TRAIN, home).measure()
    assert seconds is not None
    assert 1e-5 < seconds < 1.0
    assert dict(TIMES.known(home))[step_key(MODEL, TRAIN)] == seconds
    started = time.monotonic()
    assert StepTimer(MODEL, TRAIN, home).measure(after=60.0) == seconds
    assert time.monotonic() - started < 1.0
    assert step_key(ModelConfig(layers=2, heads=1, width=16, context=16, vocab_size=300), TRAIN) not in dict(TIMES.known(home))
    (home / TIMES.name).write_bytes(b"{not json")
    assert dict(TIMES.known(home)) == {}


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="only Linux says how long a process waited for a core")
def test_a_time_that_other_programs_held_up_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.core.child_process.MOST_HELD_UP", 0.0)
    monkeypatch.setattr("lab.core.child_process.SECONDS_BETWEEN_CALLS", 0.05)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "waits.py").write_text("import time; time.sleep(0.2); print(1)")
    process = MeasuringProcess("waits", "nothing")
    assert process.run(b"")
    assert 0 < process.held_up < 1
    monkeypatch.setattr(MeasuringProcess, "run", lambda timer, *_: setattr(timer, "held_up", process.held_up) or b"0.01")
    assert StepTimer(MODEL, TRAIN, tmp_path).measure() == 0.01
    assert dict(TIMES.known(tmp_path)) == {}


def test_what_a_step_depends_on_is_in_its_key() -> None:
    changes = ({"batch": 5}, {"accumulate": 2}, {"optimizer": "muon"}, {"threads": 1}, {"ranks": 2})
    others = [TrainConfig(**change) for change in changes]  # type: ignore[arg-type]
    assert len({step_key(MODEL, train) for train in (TrainConfig(), *others)}) == len(others) + 1
    assert step_key(MODEL, TrainConfig(lr=1.0, steps=7)) == step_key(MODEL, TrainConfig())


@pytest.mark.parametrize("after", [60.0, 0.0])
def test_it_is_cancelled_while_it_waits_and_while_it_runs(after: float, tmp_path: Path) -> None:
    timer = StepTimer(MODEL, TRAIN, tmp_path)
    threading.Timer(0.1, timer.cancel).start()
    started = time.monotonic()
    assert timer.measure(after=after) is None
    assert time.monotonic() - started < 10.0
    assert not (tmp_path / TIMES.name).exists()


def test_why_its_time_cannot_be_kept_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MeasuringProcess, "run", lambda *_: b"0.01")
    (tmp_path / "home").write_text("a file")
    with pytest.raises(UserError, match="Cannot keep the time of a step in "):
        StepTimer(MODEL, TRAIN, tmp_path / "home").measure()


@pytest.mark.usefixtures("one_core")
def test_a_step_that_does_not_fit_is_timed_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the trainer splits it, down to one window; then the error is told."""
    sizes = short_of_memory(monkeypatch, 3, torch.OutOfMemoryError("CUDA out of memory."))
    monkeypatch.setattr("lab.training.time_steps.STEPS", 1)
    monkeypatch.setattr("lab.training.time_steps.WARM_UP", 1)
    shape = ModelConfig(layers=1, heads=1, width=8, context=8, vocab_size=20)
    train = TrainConfig(batch=10, device="cpu", threads=1, precision="fp32", attention="fused")
    assert time_steps(TimingJob(shape, train, str(tmp_path))) > 0
    assert sizes == [10, 5, 3, 3, 2, 2, 3, 3, 2, 2]
    short_of_memory(monkeypatch, 0, torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(UserError, match="not enough memory for even one window"):
        time_steps(TimingJob(shape, train, str(tmp_path)))
