import errno
import importlib.util
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from lab.core import atomic_io
from lab.core.errors import UserError
from lab.planning.prepare_run import prepare_run
from lab.planning.settings_table import RunRequest
from lab.runs.metrics_log import SCALARS, LineReader, LineWriter, TensorBoardLog, keep_lines_up_to, last_line
from lab.runs.run_folder import Run
from lab.runs.run_schema import Metric, Sample, Status


def metric(step: int) -> Metric:
    return Metric(step=step, tokens=step * 64, epoch=step / 10, seconds=step / 2, loss=5.5, lr=1e-3)


def write(path: Path, steps: range) -> None:
    writer = LineWriter(path)
    for step in steps:
        writer.write(metric(step))
    writer.close()


def test_reads_only_what_is_new_and_leaves_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    reader = LineReader(path, Metric)
    assert reader.read() == []
    write(path, range(3))
    assert [m.step for m in reader.read()] == [0, 1, 2]
    line = msgspec.json.encode(metric(3)) + b"\n"
    with path.open("ab") as file:
        file.write(line[:20])
    assert reader.read() == []
    with path.open("ab") as file:
        file.write(line[20:] + b"not JSON\n" + msgspec.json.encode(metric(4)) + b"\n")
    assert reader.read() == [metric(3), metric(4)]
    assert not reader.restarted


def test_starts_over_when_the_file_was_replaced_or_became_shorter(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, range(6))
    reader = LineReader(path, Metric)
    reader.read()
    assert keep_lines_up_to(path, Metric, 3) == 2
    write(path, range(4, 9))
    assert [m.step for m in reader.read()] == list(range(9))
    assert reader.restarted
    os.truncate(path, len(path.read_bytes().splitlines(keepends=True)[0]))
    assert [m.step for m in reader.read()] == [0]
    assert reader.restarted
    path.unlink()
    assert reader.read() == []
    assert reader.restarted


def test_dropping_lines_removes_torn_and_unreadable_ones_and_touches_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert keep_lines_up_to(path, Metric, 5) == 0
    write(path, range(4))
    before = path.stat().st_ino
    assert keep_lines_up_to(path, Metric, 3) == 0
    assert path.stat().st_ino == before
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step":1}\n' + whole.splitlines()[2])
    assert keep_lines_up_to(path, Metric, 3) == 2
    assert path.read_bytes() == whole


def test_last_line_of_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert last_line(path, Metric) is None
    write(path, range(500))
    with path.open("ab") as file:
        file.write(b'{"step": 500, "tok')
    assert last_line(path, Metric) == metric(499)


def test_a_line_that_does_not_fit_is_taken_back(tmp_path: Path) -> None:
    """The limit on a file's size stands for a full disk: the system writes what fits, then refuses."""
    path = tmp_path / "samples.jsonl"
    writer = LineWriter(path)
    writer.write(Sample(step=0, prompt="a", text="b"))
    whole = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            writer.write(Sample(step=1, prompt="a", text="b" * 100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, former)
    assert path.read_bytes() == whole
    writer.write(Sample(step=2, prompt="\n", text="\x00é"))
    assert [sample.step for sample in LineReader(path, Sample).read()] == [0, 2]


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of each scalar: steps and values."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_shows_every_metric_of_a_run(tiny_run: Callable[..., Run], train_here: Callable[..., Status]) -> None:
    run = tiny_run(log_to="tensorboard", steps=12, eval_every=5)
    train_here(run)
    metrics = run.metrics().read()
    shown = read(run.path / "tensorboard")
    assert set(shown) == set(SCALARS)
    for name, scalars in shown.items():
        written = [(metric.step, getattr(metric, name)) for metric in metrics if getattr(metric, name) is not None]
        assert [step for step, _ in scalars] == [step for step, _ in written], name
        assert [value for _, value in scalars] == pytest.approx([value for _, value in written], rel=1e-6), name


def test_tensorboards_folder_is_no_link_that_leads_its_events_elsewhere(
    tiny_run: Callable[..., Run], train_here: Callable[..., Status], tmp_path: Path
) -> None:
    run, elsewhere = tiny_run(log_to="tensorboard", steps=2), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (run.path / "tensorboard").symlink_to(elsewhere)
    status = train_here(run)
    assert (status.phase, list(elsewhere.iterdir())) == ("failed", [])
    assert "tensorboard is a link" in status.message


def scalar(step: int, loss: float) -> Metric:
    return Metric(step=step, tokens=step, epoch=0, seconds=step, loss=loss)


def test_steps_after_the_last_checkpoint_are_forgotten_when_they_are_trained_again(tmp_path: Path) -> None:
    first = TensorBoardLog(tmp_path, None)
    for step in range(1, 9):
        first.write(scalar(step, 4.0))
    resumed = TensorBoardLog(tmp_path, 5)
    resumed.write(scalar(6, 3.0))
    assert read(tmp_path)["loss"] == [*((step, 4.0) for step in range(1, 6)), (6, 3.0)]


def test_an_event_for_which_the_disk_has_no_room_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = TensorBoardLog(tmp_path, None)
    log.write(scalar(1, 4.0))

    def half(descriptor: int, chunk: memoryview) -> None:
        os.write(descriptor, chunk[: len(chunk) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(atomic_io, "write_all", half)
        with pytest.raises(OSError, match="No space left"):
            log.write(scalar(2, 3.0))
    log.write(scalar(2, 2.0))
    assert read(tmp_path)["loss"] == [(1, 4.0), (2, 2.0)]


def test_without_the_package_one_sentence_says_so_and_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install .*\[tensorboard\]'"):
        prepare_run(RunRequest(text="stories:20kB", tokenizer="bytes", steps=1, log_to="tensorboard", home=tmp_path))
    assert not list(tmp_path.iterdir())
