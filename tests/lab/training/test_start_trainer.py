import os
import platform
import shutil
import signal
import subprocess
import sys

import filelock
import psutil  # type: ignore[import-untyped]
import pytest

from lab.core.errors import UserError
from lab.runs.run_folder import Run
from lab.training.start_trainer import start_trainer
from tests.fixture_types import EmptyRun
from tests.lab.runs.made_up_runs import say

GONE = r"^There is no run called tale any more: it was renamed or deleted\.$"


def test_a_run_that_cannot_be_started_is_refused_with_a_reason(empty_run: EmptyRun) -> None:
    run = empty_run()
    with pytest.raises(UserError, match=r"tokens\.bin"):
        start_trainer(run)
    say(run, phase="finished", step=50)
    with pytest.raises(UserError, match="finished its 50 steps"):
        start_trainer(run)
    say(run)
    with filelock.FileLock(run.lock_path), pytest.raises(UserError, match=f"by process 7 on {platform.node()}"):
        start_trainer(run)
    say(run, host="abacus")
    with pytest.raises(UserError, match="by process 7 on abacus"):
        start_trainer(run)


def pretend(run: Run, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this script in place of the processes of a training."""
    run.tokens_path.touch()
    fake = run.path.parent / "python"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))


def test_the_last_words_of_a_trainer_that_dies_are_the_reason(empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = empty_run()
    run.log_path.write_text("from an earlier time\n")
    pretend(run, "echo loading\necho The moon is in the wrong phase.\nexit 1", monkeypatch)
    with pytest.raises(UserError, match=r"^The moon is in the wrong phase\.$"):
        start_trainer(run)


def test_who_waits_for_a_trainer_can_give_it_up_and_leaves_no_process(
    empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = empty_run()
    began = run.path / "pid"
    pretend(run, f"echo $$ > {began}.new\nmv {began}.new {began}\nexec sleep 60", monkeypatch)

    class EnoughError(Exception):
        pass

    def waiting() -> None:
        if began.exists():
            raise EnoughError

    with pytest.raises(EnoughError):
        start_trainer(run, waiting=waiting)
    with pytest.raises(ProcessLookupError):
        os.kill(int(began.read_text()), 0)


def test_the_first_rank_is_known_by_its_launcher(empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = empty_run()
    said = '{"phase": "training", "pid": %d, "pid_started": 5}'
    pretend(run, f"echo $* > words\nsleep 60 &\nprintf '{said}' $! > status.json\nwait", monkeypatch)
    pid = start_trainer(run, ranks=2)
    words = f"-P -m lab.training.distributed.launcher --standalone --nproc-per-node 2 {run.path}\n"
    assert (run.path / "words").read_text() == words
    launcher = psutil.Process(pid).parent()
    os.kill(pid, signal.SIGTERM)
    assert launcher.wait() == 0
    assert run.status().pid == pid


def test_of_two_that_start_several_ranks_at_once_one_is_refused(empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = empty_run()
    pretend(run, "sleep 0.2\necho It was refused.\necho The winner speaks on.\nexit 1", monkeypatch)
    others = os.getpid()
    with filelock.FileLock(run.lock_path):

        def waiting() -> None:
            say(run, pid=others, pid_started=5.0)

        with pytest.raises(UserError, match=rf"^tale is already being trained by process {others} on {platform.node()}\.$"):
            start_trainer(run, ranks=2, waiting=waiting)


def test_a_first_rank_that_was_killed_is_not_said_to_train(empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = empty_run()
    pretend(run, "sleep 0.2\necho It was killed.\nexit 1", monkeypatch)
    killed = subprocess.Popen(["true"])
    killed.wait()
    with pytest.raises(UserError, match=r"^It was killed\.$"):
        start_trainer(run, ranks=2, waiting=lambda: say(run, pid=killed.pid, pid_started=5.0))


@pytest.mark.parametrize("script", ["mv ../tale ../saga; exit 2", "rm -r ../tale; exit 2"])
def test_a_run_that_is_renamed_or_deleted_meanwhile_is_told_of(
    script: str, empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = empty_run()
    pretend(run, script, monkeypatch)
    with pytest.raises(UserError, match=GONE):
        start_trainer(run)


def test_a_run_that_is_gone_before_its_trainer_starts_is_told_of(empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = empty_run()
    pretend(run, "exit 2", monkeypatch)
    monkeypatch.setattr("lab.training.start_trainer.check_ranks", lambda *_: shutil.rmtree(run.path))
    with pytest.raises(UserError, match=GONE):
        start_trainer(run)
