import os
import resource
import signal
from pathlib import Path

import msgspec
import pytest

from lab.runs.metrics_log import LineReader, LineWriter, keep_lines_up_to, last_line
from lab.runs.run_schema import Metric, Sample


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
