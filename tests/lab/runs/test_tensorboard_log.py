import errno
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lab.core import atomic_io
from lab.core.errors import UserError
from lab.planning.prepare_run import prepare_run
from lab.planning.run_request import RunRequest
from lab.runs.metrics_log import SCALARS, TensorBoardLog
from lab.runs.run_folder import Run
from lab.runs.run_schema import Metric


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of each scalar: steps and values."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_shows_every_metric_of_a_run(tiny_run: Callable[..., Run], train_here: Callable[..., object]) -> None:
    run = tiny_run(log_to="tensorboard", steps=12, eval_every=5)
    train_here(run)
    metrics = run.metrics().read()
    shown = read(run.path / "tensorboard")
    assert set(shown) == set(SCALARS)
    for name, scalars in shown.items():
        written = [(metric.step, getattr(metric, name)) for metric in metrics if getattr(metric, name) is not None]
        assert [step for step, _ in scalars] == [step for step, _ in written], name
        assert [value for _, value in scalars] == pytest.approx([value for _, value in written], rel=1e-6), name


def test_a_run_writes_no_such_files_unless_asked(tiny_run: Callable[..., Run], train_here: Callable[..., object]) -> None:
    run = tiny_run(steps=1)
    train_here(run)
    assert not (run.path / "tensorboard").exists()


def metric(step: int, loss: float) -> Metric:
    return Metric(step=step, tokens=step, epoch=0, seconds=step, loss=loss)


def test_steps_after_the_last_checkpoint_are_forgotten_when_they_are_trained_again(tmp_path: Path) -> None:
    first = TensorBoardLog(tmp_path, None)
    for step in range(1, 9):
        first.write(metric(step, 4.0))
    resumed = TensorBoardLog(tmp_path, 5)
    resumed.write(metric(6, 3.0))
    assert read(tmp_path)["loss"] == [*((step, 4.0) for step in range(1, 6)), (6, 3.0)]


def test_an_event_for_which_the_disk_has_no_room_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = TensorBoardLog(tmp_path, None)
    log.write(metric(1, 4.0))

    def half(descriptor: int, chunk: memoryview) -> None:
        os.write(descriptor, chunk[: len(chunk) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(atomic_io, "write_all", half)
        with pytest.raises(OSError, match="No space left"):
            log.write(metric(2, 3.0))
    log.write(metric(2, 2.0))
    assert read(tmp_path)["loss"] == [(1, 4.0), (2, 2.0)]


def test_without_the_package_one_sentence_says_so_and_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'llmlab\[tensorboard\]'"):
        prepare_run(RunRequest(text="stories:20kB", tokenizer="bytes", steps=1, log_to="tensorboard", home=tmp_path))
    assert not list(tmp_path.iterdir())
