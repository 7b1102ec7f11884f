"""A study: its record, and the process that writes it, started, stopped and killed."""

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from lab.core.errors import UserError
from lab.lessons.conditions import names_in
from lab.studies import study_process, study_record
from lab.studies.study_process import main, start_study, stop_study, study_names
from lab.studies.study_record import (
    RECORDED,
    Begun,
    Ended,
    Line,
    Plot,
    Record,
    Rows,
    StudyFiles,
    StudyFollower,
    StudyHistory,
    histories_of,
    history_of,
    sentences_of,
)


def two_points(record: Record) -> None:
    record.plot("loss", "loss of a study", x="step", y="nats")
    record.point("loss", "model", 1, 2.5)
    record.point("loss", "model", 2, 1.5)
    record.table("table", "answers", ["question", "right"], [["a?", 3], ["b?", 0.25]])
    record.measure(seed=record.seed, first=2.5, name="tiny", fell=True)
    record.measure(last=1.5)
    record.done(0.5)


@pytest.fixture
def body(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Record], None]], None]:
    """Has the function be the study called tiny, in this process, which keeps its priority and its signals."""
    monkeypatch.setattr(study_process, "study_names", lambda: ["tiny"])
    monkeypatch.setattr(study_process, "lower_priority", lambda niceness: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(study_process, "_stops", [])

    def put(function: Callable[[Record], None]) -> None:
        monkeypatch.setitem(sys.modules, "lab.studies.tiny", SimpleNamespace(study=function))

    return put


def test_what_a_study_records_is_what_is_read(body: Callable[..., None], tmp_path: Path) -> None:
    body(two_points)
    assert main(["tiny", "--out", str(tmp_path / "tiny.jsonl"), "--seed", "7"]) == 0
    history = history_of(tmp_path / "tiny.jsonl")
    assert history.begun is not None
    assert (history.begun.study, history.begun.seed, history.begun.pid) == ("tiny", 7, os.getpid())
    assert list(history.views) == ["loss", "table"]
    assert history.views["loss"] == Plot("loss", "loss of a study", "step", "nats", 0.0, 1.0)
    assert history.views["table"] == Rows("table", "answers", ("question", "right"), (("a?", 3), ("b?", 0.25)))
    assert history.curves == {"loss": {"model": [(1.0, 2.5), (2.0, 1.5)]}}
    assert history.measures == {"seed": 7, "first": 2.5, "name": "tiny", "fell": True, "last": 1.5}
    assert history.ended is not None
    assert history.ended.is_finished


def test_one_command_records_several_seeds_and_a_study_of_here_has_one(body: Callable[..., None], tmp_path: Path) -> None:
    body(two_points)
    path = tmp_path / "tiny.jsonl"
    for seeds in (("3", "4", "9"), ("5", "6")):
        assert main(["tiny", "--seed", *seeds, "--out", str(path)]) == 0
        found = histories_of(path)
        assert [str(each.begun.seed) for each in found if each.begun] == list(seeds), "in place of what the file held"
        assert [str(each.measures["seed"]) for each in found] == list(seeds)
        assert all(each.curves == {"loss": {"model": [(1.0, 2.5), (2.0, 1.5)]}} for each in found)
    with pytest.raises(SystemExit):
        main(["tiny", "--seed", "3", "4", "--home", str(tmp_path)])


def fails(_record: Record) -> None:
    raise ZeroDivisionError


def refuses(_record: Record) -> None:
    raise UserError("No text, no study.")


def is_stopped(record: Record) -> None:
    study_process._note_stop(signal.SIGTERM, None)
    record.done(0.5)
    raise AssertionError("it went on")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (fails, "It failed with an internal error (ZeroDivisionError); see {folder}/tiny.log."),
        (refuses, "No text, no study."),
        (is_stopped, study_process.STOPPED),
    ],
)
def test_a_study_that_does_not_finish_says_why_and_leaves_the_earlier_result(
    function: Callable[[Record], None], message: str, body: Callable[..., None], tmp_path: Path
) -> None:
    files = StudyFiles("tiny", tmp_path)
    files.folder.mkdir()
    body(two_points)
    assert main(["tiny", "--home", str(tmp_path)]) == 0
    before = files.path.read_bytes()
    body(function)
    assert main(["tiny", "--home", str(tmp_path)]) == 1
    follower = StudyFollower(files)
    follower.read()
    assert (follower.problem, follower.is_recorded, follower.is_running) == (message.format(folder=files.folder), False, False)
    assert files.path.read_bytes() == before
    assert follower.history.measures["last"] == 1.5
    study_process._stops.clear()
    body(two_points)
    assert main(["tiny", "--home", str(tmp_path)]) == 0
    follower.read()
    assert follower.problem == ""


def test_a_study_runs_beside_its_starter_refuses_a_second_one_and_stops(tmp_path: Path) -> None:
    name = study_names()[0]
    files, follower = StudyFiles(name, tmp_path), StudyFollower(StudyFiles(name, tmp_path))
    follower.read()
    assert follower.is_recorded
    start_study(files, 6)
    follower.read()
    assert (follower.is_running, follower.is_recorded) == (True, False)
    with pytest.raises(UserError, match="runs already"):
        start_study(files, 6)
    assert stop_study(files)
    give_up = time.monotonic() + 300
    while files.is_running():
        assert time.monotonic() < give_up
        time.sleep(0.05)
    follower.read()
    assert (follower.problem, follower.is_recorded) == (study_process.STOPPED, True)
    assert not stop_study(files)


def test_a_record_from_elsewhere_is_read_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_record, "MOST_LINES", 5)
    path = tmp_path / "any.jsonl"
    lines: list[Line] = [study_record.Point("loss", "a", at, at) for at in range(9)]
    path.write_bytes(
        b"{}\nnot JSON\n"
        + b"\n".join(map(msgspec.json.encode, lines))
        + b"\n"
        + b'{"type":"Point","view":"loss","series":"a","x":1e300,"y":0}\n'
    )
    assert history_of(path).curves == {"loss": {"a": [(float(at), float(at)) for at in range(5)]}}


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.jsonl")), ids=lambda path: path.stem)
def test_each_recorded_result_is_whole_and_of_five_seeds(path: Path) -> None:
    seeds = histories_of(path)
    assert [each.begun.seed for each in seeds if each.begun] == [1, 2, 3, 4, 5]
    for history in seeds:
        is_whole(history, path.stem)
        assert history.views.keys() == seeds[0].views.keys()
        assert history.measures.keys() == seeds[0].measures.keys()
        assert {view: set(curves) for view, curves in history.curves.items()} == {
            view: set(curves) for view, curves in seeds[0].curves.items()
        }
        for sentence in sentences_of(path.stem).values():
            assert names_in(sentence) <= history.measures.keys(), sentence
        assert sentences_of(path.stem).keys() == history.views.keys()


def is_whole(history: StudyHistory, name: str) -> None:
    assert isinstance(history.begun, Begun)
    assert isinstance(history.ended, Ended)
    assert history.ended.is_finished
    assert history.begun.study == name
    assert set(history.curves) <= set(history.views)
    kinds = {name: msgspec.json.encode(value)[:1] for name, value in history.measures.items()}
    assert b"n" not in kinds.values(), "no measure is null"


@pytest.mark.parametrize("name", study_names())
def test_each_study_has_a_function_and_a_recorded_result(name: str) -> None:
    assert callable(importlib.import_module(f"lab.studies.{name}").study)
    assert (RECORDED / f"{name}.jsonl").is_file()
