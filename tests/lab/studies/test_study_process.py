"""A study: its record, and the process that writes it, started, stopped and deleted."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from lab import job_process
from lab.core.errors import UserError
from lab.job_process import main
from lab.lessons.conditions import names_in
from lab.runs.run_control import send_command
from lab.studies.study_job import (
    RECORDED,
    STUDIES,
    Line,
    Plot,
    Point,
    Record,
    Rows,
    StudyFollower,
    StudyHistory,
    StudyJob,
    StudyRequest,
    record_seeds,
    sentences_of,
)
from lab.training import command_inbox
from lab.training.job import STOPPED, Begun, Ended, histories_of, history_of
from lab.training.stop_signals import StopSignals
from tests.lab.training.module_forker import PATIENCE, ModuleForker, wait_for


def two_points(record: Record) -> None:
    record.plot("loss", "loss of a study", x="step", y="nats")
    record.point("loss", "model", 1, 2.5)
    record.point("loss", "model", 2, 1.5)
    record.table("table", "answers", ["question", "right"], [["a?", 3], ["b?", 0.25]])
    record.measure(seed=record.seed, first=2.5, name="tiny", fell=True)
    record.measure(last=1.5)
    record.done(0.5)


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StudyJob:
    """A study called tiny, done in this process, which keeps its priority and its signals."""
    monkeypatch.setattr(job_process, "lower_priority", lambda niceness: None)
    monkeypatch.setattr(command_inbox, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(StopSignals, "install", lambda self: None)
    made = StudyJob("tiny", tmp_path)
    made.make()
    monkeypatch.chdir(made.path)
    return made


@pytest.fixture
def body(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Record], None]], None]:
    """Has the function be what the study does."""

    def put(function: Callable[[Record], None]) -> None:
        monkeypatch.setitem(sys.modules, "lab.studies.tiny", SimpleNamespace(study=function))

    return put


def run(job: StudyJob, seed: int = 1) -> int:
    return main([str(job.path), msgspec.json.encode(StudyRequest(seed)).decode()])


def test_what_a_study_records_is_what_is_read_and_several_seeds_are_recorded_one_after_the_other(
    job: StudyJob, body: Callable[..., None], tmp_path: Path
) -> None:
    body(two_points)
    path = tmp_path / "tiny.jsonl"
    for seeds in ((3, 4, 9), (5, 6)):
        assert record_seeds("tiny", path, seeds)
        found = histories_of(path, StudyHistory)
        assert [each.begun.seed for each in found if each.begun] == list(seeds), "in place of what the file held"
        for seed, history in zip(seeds, found, strict=True):
            assert list(history.views) == ["loss", "table"]
            assert history.views["loss"] == Plot("loss", "loss of a study", "step", "nats", 0.0, 1.0)
            assert history.views["table"] == Rows("table", "answers", ("question", "right"), (("a?", 3), ("b?", 0.25)))
            assert history.curves == {"loss": {"model": [(1.0, 2.5), (2.0, 1.5)]}}
            assert history.measures == {"seed": seed, "first": 2.5, "name": "tiny", "fell": True, "last": 1.5}
            assert history.ended is not None
            assert history.ended.is_finished


def fails(_record: Record) -> None:
    raise ZeroDivisionError


def refuses(_record: Record) -> None:
    raise UserError("No text, no study.")


def is_stopped(record: Record) -> None:
    send_command(Path("control"), "stop")
    record.done(0.5)
    raise AssertionError("it went on")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (fails, "It failed with an internal error (ZeroDivisionError); see {folder}/process.log."),
        (refuses, "No text, no study."),
        (is_stopped, STOPPED),
    ],
)
def test_a_study_that_does_not_finish_says_why_and_leaves_the_earlier_result(
    job: StudyJob, function: Callable[[Record], None], message: str, body: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lowered: list[int] = []
    monkeypatch.setattr(job_process, "lower_priority", lowered.append)
    body(two_points)
    assert run(job) == 0
    before = job.record_path.read_bytes()
    body(function)
    assert run(job, 2) == 1
    follower = StudyFollower(job)
    follower.read()
    assert (follower.problem, follower.is_recorded, follower.is_running) == (message.format(folder=job.path), False, False)
    assert job.record_path.read_bytes() == before
    assert follower.shown.measures["last"] == 1.5
    body(two_points)
    assert run(job, 3) == 0
    follower.read()
    assert follower.problem == ""
    assert follower.shown.measures["seed"] == 3
    assert lowered == [StudyJob.NICENESS] * 3


def test_a_study_runs_beside_its_starter_refuses_a_second_one_stops_and_does_not_outlive_its_deletion(
    tmp_path: Path, forker: ModuleForker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, name = StudyJob(STUDIES[0], tmp_path), STUDIES[0]
    monkeypatch.setattr("lab.training.job.DetachedProcess", forker.detached_process)
    follower = StudyFollower(job)
    follower.read()
    assert (follower.is_recorded, follower.exists) == (True, False)
    job.start(StudyRequest(6))
    follower.read()
    assert (follower.is_running, follower.is_recorded) == (True, False)
    with pytest.raises(UserError, match=f"The study {name} runs already"):
        job.start(StudyRequest(6))
    assert job.stop()
    wait_for(lambda: not job.is_running())
    follower.read()
    assert (follower.problem, follower.is_recorded) == (STOPPED, True)
    assert not job.stop()
    monkeypatch.setattr("lab.training.job.STOP_SECONDS", PATIENCE)
    job.start(StudyRequest(7))
    job.delete()
    assert not job.is_running()
    assert list(job.path.parent.iterdir()) == []
    follower.read()
    assert (follower.problem, follower.is_recorded, follower.exists) == ("", True, False)


def test_a_process_that_begins_after_its_job_was_deleted_does_not_do_it(job: StudyJob, body: Callable[..., None]) -> None:
    body(two_points)
    job.delete()
    assert run(job) == 2
    job.make()  # by one that is started later
    assert run(job) == 2
    assert not job.exists()


def test_the_result_of_an_earlier_version_is_shown_replaced_and_deleted_as_one_of_this(
    job: StudyJob, body: Callable[..., None]
) -> None:
    earlier = job.path.with_suffix(".jsonl")
    line = {"type": "Begun", "study": "tiny", "seed": 8, "pid": 1, "host": "here", "cores": 2, "time": 5.0}
    lines = [line, {"type": "Measured", "values": {"last": 0.5}}, {"type": "Ended", "is_finished": True, "seconds": 9.0}]
    earlier.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in lines))
    follower = StudyFollower(job)
    follower.read()
    assert (follower.is_recorded, follower.shown.measures, follower.next_seed) == (False, {"last": 0.5}, 9)
    body(two_points)
    assert run(job) == 0
    follower.read()
    assert follower.shown.measures["last"] == 1.5
    job.delete()
    assert not list(job.path.parent.iterdir())


def test_a_record_from_elsewhere_is_read_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.training.job.MOST_LINES", 5)
    path = tmp_path / "any.jsonl"
    lines: list[Line] = [Point("loss", "a", at, at) for at in range(9)]
    path.write_bytes(
        b"{}\nnot JSON\n"
        + b"\n".join(map(msgspec.json.encode, lines))
        + b"\n"
        + b'{"type":"Point","view":"loss","series":"a","x":1e300,"y":0}\n'
    )
    assert history_of(path, StudyHistory).curves == {"loss": {"a": [(float(at), float(at)) for at in range(5)]}}


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.jsonl")), ids=lambda path: path.stem)
def test_each_recorded_result_is_whole_and_of_five_seeds(path: Path) -> None:
    seeds = histories_of(path, StudyHistory)
    assert [each.begun.seed for each in seeds if each.begun] == [1, 2, 3, 4, 5]
    for history in seeds:
        is_whole(history)
        assert history.views.keys() == seeds[0].views.keys()
        assert history.measures.keys() == seeds[0].measures.keys()
        assert {view: set(curves) for view, curves in history.curves.items()} == {
            view: set(curves) for view, curves in seeds[0].curves.items()
        }
        for sentence in sentences_of(path.stem).values():
            assert names_in(sentence) <= history.measures.keys(), sentence
        assert sentences_of(path.stem).keys() == history.views.keys()


def is_whole(history: StudyHistory) -> None:
    assert isinstance(history.begun, Begun)
    assert isinstance(history.ended, Ended)
    assert history.ended.is_finished
    assert set(history.curves) <= set(history.views)
    kinds = {name: msgspec.json.encode(value)[:1] for name, value in history.measures.items()}
    assert b"n" not in kinds.values(), "no measure is null"


@pytest.mark.parametrize("name", STUDIES)
def test_each_study_has_a_function_and_a_recorded_result(name: str) -> None:
    assert callable(importlib.import_module(f"lab.studies.{name}").study)
    assert (RECORDED / f"{name}.jsonl").is_file()
