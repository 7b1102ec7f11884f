"""The swap of an earlier result for a new one, killed before each step that it takes on disk; without torch."""

import os
import platform
import shutil
import signal
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from lab import job_process
from lab.core.errors import UserError
from lab.runs.find_runs import list_runs, open_run
from lab.runs.metrics_log import LineWriter
from lab.runs.run_control import hold_inspect_lock
from lab.runs.run_folder import Run
from lab.runs.schema_parts import TuningConfig
from lab.training.job import Begun, Ended
from lab.training.posttraining.posttraining_job import PosttrainingJob
from lab.training.posttraining.posttraining_record import (
    MODELS,
    Line,
    PosttrainingFollower,
    PosttrainRequest,
    PosttrainSettings,
    Saved,
    Started,
    tuned_name,
)
from lab.training.stop_signals import StopSignals
from tests.fixture_types import Call, EmptyRun

STEPS = ("rename", "replace", "unlink", "rmdir", "fsync")
"""Functions of `os` before each call of which the process is killed."""
NAMES = [tuned_name("demo", model) for model in MODELS[1:]]
TUNING = TuningConfig(base="demo", base_step=6000, base_sha256="", method="sft", pairs=16, rounds=0, beta=0.0)


def started(result: str) -> Started:
    settings = PosttrainSettings()
    return Started(base=result, base_step=1, settings=settings, time=1.0, pairs=(), questions=(), hedged=0)


@pytest.fixture
def make_model(empty_run: EmptyRun, home: Path) -> Callable[[Path, str, str], None]:
    """Makes the run of a model, which holds the name of its result in its log."""
    run = empty_run("made")
    config = msgspec.json.encode(msgspec.structs.replace(run.config, tuning=TUNING))
    shutil.rmtree(run.path)

    def make(where: Path, name: str, result: str) -> None:
        (where / ".making").mkdir(parents=True)
        (where / ".making" / "config.json").write_bytes(config)
        Run(where / ".making").log_path.write_text(result)
        os.rename(where / ".making", where / name)

    return make


@pytest.fixture
def job(home: Path, make_model: Callable[[Path, str, str], None], monkeypatch: pytest.MonkeyPatch) -> PosttrainingJob:
    """The job of an earlier result; the next post-training makes its models at once, or fails in the middle."""
    found = PosttrainingJob("demo", home)
    found.make()
    lines: list[Line] = [Begun(pid=1, host=platform.node()), started("old")]
    for name in NAMES:
        make_model(home, name, "old")
    saved = [Saved(model, name) for model, name in zip(MODELS[1:], NAMES, strict=True)]
    writer = LineWriter(found.record_path)
    for line in [*lines, *saved, Ended(is_finished=True, seconds=1.0)]:
        writer.write(line)
    writer.close()

    class Work:
        fails = ""

        def __init__(self, base: Run, where: Path, settings: object, log: Callable[[Line], None], poll: object) -> None:
            self._where, self._log = where, log

        def run(self) -> None:
            self._log(started("new"))
            for model, name in zip(MODELS[1:], NAMES, strict=True):
                if model == Work.fails:
                    raise UserError("It diverged.")
                make_model(self._where, name, "new")
                self._log(Saved(model, name))

    stub = types.ModuleType("lab.training.posttraining.post_train")
    stub.PostTraining = Work  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    monkeypatch.setattr(job_process, "lower_priority", lambda niceness: None)
    monkeypatch.setattr(StopSignals, "install", lambda self: None)
    monkeypatch.chdir(found.path)
    return found


def post_train(job: PosttrainingJob) -> int:
    os.chdir(job.path)  # which may be a copy by now
    request = PosttrainRequest(str(open_run("demo").path), PosttrainSettings())
    return job_process.main([str(job.path), msgspec.json.encode(request).decode()])


def results(home: Path) -> dict[str, str]:
    """The result that each run in the home is of; each must open."""
    return {run.name: open_run(run.name).log_path.read_text() for run in list_runs(home)}


def shown(job: PosttrainingJob) -> tuple[str, str]:
    """The result whose course is shown, and the stage."""
    follower = PosttrainingFollower(job)
    follower.read()
    assert follower.history.started is not None
    return follower.history.started.base, follower.stage


class Killed(BaseException):
    """In place of a kill: from here on no step on disk is taken, whatever tidies up."""


def killed_before(step: int, work: Callable[[], object], *, really: bool = False) -> bool:
    """Do the work until it is killed before that step on disk, `really` in a process of its own. False if it has fewer."""
    pid = os.fork() if really else 0
    if pid:
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    steps = iter(range(step))

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            if next(steps, None) is None:
                if really:
                    os.kill(os.getpid(), signal.SIGKILL)
                raise Killed
            return function(*arguments, **options)

        return call

    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in STEPS:
                patch.setattr(os, name, counted(getattr(os, name)))
            work()
    except Killed:
        return True
    finally:
        if really:
            os._exit(0)
    return False


def copies(home: Path) -> Iterator[int]:
    """A number for each step; the home is as it was before at each."""
    before = home.with_name("before")
    shutil.copytree(home, before)
    for step in range(1000):
        yield step
        shutil.rmtree(home)
        shutil.copytree(before, home)


def test_a_kill_at_any_step_leaves_the_earlier_three_or_the_new_three(home: Path, job: PosttrainingJob, llmlab: Call) -> None:
    seen = list[str]()
    for step in copies(home):
        if not killed_before(step, lambda: post_train(job), really=step % 7 == 0):
            break
        left = results(home)
        killed_before(step % 31, lambda: job.settle_if_idle())
        job.settle_if_idle()
        (result,) = set(results(home).values())
        assert results(home) == dict.fromkeys(NAMES, result), step
        assert sum(name not in left for name in NAMES) <= 1, "one model at a time is between two names"
        assert shown(job)[0] == result, step
        assert not job.aside_path.exists()
        seen.append(result)
        if step % 7 == 0:
            assert post_train(job) == 0, "and another one finishes"
            assert set(results(home).values()) == {"new"}
    assert seen == sorted(seen, reverse=True), "from one step on it is the new result"
    assert set(seen) == {"old", "new"}
    assert len(seen) > 30
    assert results(home) == dict.fromkeys(NAMES, "new")
    assert shown(job) == ("new", "finished")


def test_the_first_three_take_no_other_s_places(home: Path, job: PosttrainingJob) -> None:
    for name in NAMES:
        shutil.rmtree(home / name)
    assert post_train(job) == 0
    assert results(home) == dict.fromkeys(NAMES, "new")
    assert shown(job) == ("new", "finished")


def test_a_swap_that_an_earlier_version_had_decided_and_not_made_is_made(
    home: Path, job: PosttrainingJob, make_model: Callable[[Path, str, str], None]
) -> None:
    os.rename(job.record_path, job.path / "earlier.jsonl")
    runs = dict(zip(map(str, MODELS[1:]), NAMES, strict=True))
    writer = LineWriter(job.path / "progress.jsonl")
    for line in (started("new"), Ended(is_finished=True, seconds=1.0, runs=runs)):
        writer.write(line)
    writer.close()
    for name in NAMES:
        make_model(job.aside_path, name, "new")
    assert shown(job) == ("new", "finished")
    assert results(home) == dict.fromkeys(NAMES, "new")


def test_a_deletion_takes_the_models_and_the_record(home: Path, job: PosttrainingJob, empty_run: EmptyRun) -> None:
    mine = empty_run("mine")
    mine.log_path.write_text("")
    held = hold_inspect_lock(home / "demo-rl")
    assert held is not None
    with pytest.raises(UserError, match="demo-rl is open in Inspect"):
        job.delete()
    assert set(results(home)) == {*NAMES, "mine"}, "all or none"
    os.close(held)
    job.delete()
    assert set(results(home)) == {"mine"}
    assert not list(job.path.parent.iterdir())


@pytest.mark.parametrize("fails", MODELS[1:])
def test_a_failure_leaves_the_earlier_result_and_says_so(home: Path, job: PosttrainingJob, llmlab: Call, fails: str) -> None:
    sys.modules["lab.training.posttraining.post_train"].PostTraining.fails = fails
    assert post_train(job) == 1
    assert results(home) == dict.fromkeys(NAMES, "old")
    assert shown(job) == ("old", "stopped")
    done = llmlab("posttrain", "--show")
    assert done.code == 1
    assert ", ".join(NAMES) in done.out
    assert done.err == "llmlab: It diverged. The earlier result stands.\n"


def test_an_earlier_model_that_is_open_stays_and_the_new_ones_get_other_names(
    home: Path, job: PosttrainingJob, llmlab: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = list[int]()
    work = sys.modules["lab.training.posttraining.post_train"].PostTraining
    run = work.run

    def run_and_open(self: object) -> None:
        run(self)
        descriptor = hold_inspect_lock(home / "demo-rl")
        assert descriptor is not None
        held.append(descriptor)

    monkeypatch.setattr(work, "run", run_and_open)
    try:
        assert post_train(job) == 0
    finally:
        os.close(held[0])
    assert results(home) == dict.fromkeys(NAMES, "old") | dict.fromkeys([f"{name}-2" for name in NAMES], "new")
    done = llmlab("posttrain", "--show")
    assert done.code == 0
    assert "Runs: demo-sft-2, demo-rl-2, demo-rl-free-2;" in done.out
    assert "demo-rl is open in Inspect" in done.err


def test_a_result_of_an_earlier_llmlab_in_a_home_that_cannot_be_written_is_shown_or_refused_in_a_sentence(
    job: PosttrainingJob, llmlab: Call
) -> None:
    job.record_path.rename(job.path / "progress.jsonl")
    job.lock_path.unlink(missing_ok=True)
    job.path.chmod(0o555)
    try:
        told = llmlab("posttrain", "demo", "--show")
    finally:
        job.path.chmod(0o755)
    assert "demo-rl-free" in told.out or "permission denied" in told.err
