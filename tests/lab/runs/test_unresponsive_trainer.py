"""A trainer that says nothing: halted, gone, or kept from writing into its folder. The reason reaches who looks at the run."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import msgspec
import pytest

from lab.runs import run_folder
from lab.runs.run_folder import Run, unresponsive_reason
from lab.runs.run_history import RunFollower
from lab.runs.run_schema import Status
from lab.training import checkpoint
from tests.fixture_types import Call, TinyRun, TrainHere
from tests.lab.runs.made_up_runs import say


def silent(run: Run, seconds: float) -> Status:
    return say(run, step=7, pid=4711, heartbeat=time.time() - seconds)


def test_a_halted_trainer_is_not_answering(empty_run: Callable[..., Run], llmlab: Call) -> None:
    """It holds the lock, as a process does that SIGSTOP has halted, and its last sign of life is old."""
    run = empty_run()
    silent(run, 75)
    with filelock.FileLock(run.lock_path):
        assert run.phase() == "not answering"
        listed = msgspec.json.decode(llmlab("runs", "--json").out)[0]
        assert (listed["phase"], listed["alive"]) == ("not answering", False)
        assert listed["message"].startswith("The trainer, process 4711, has not responded for 1 min 15 s")
        assert "no answer" in llmlab("runs").out or "not answering" in llmlab("runs").out
        assert RunFollower(run).read().unresponsive == listed["message"]
        for command in ("stop", "pause"):
            llmlab(command, "tale").assert_mistake("process 4711, does not respond", "kill -CONT 4711")
        silent(run, 0)
        assert run.phase() == "training"
        assert RunFollower(run).read().unresponsive == ""
    silent(run, 75)
    assert run.phase() == "interrupted"


def test_a_trainer_that_loads_pytorch_for_long_is_starting(empty_run: Callable[..., Run], llmlab: Call) -> None:
    """Meanwhile no thread of it writes a heartbeat."""
    run = empty_run()
    say(run, phase="starting", heartbeat=time.time() - 60)
    with filelock.FileLock(run.lock_path):
        listed = msgspec.json.decode(llmlab("runs", "--json").out)[0]
        assert (listed["phase"], listed["alive"]) == ("starting", True)
        assert RunFollower(run).read().unresponsive == ""
        say(run, phase="starting", heartbeat=time.time() - 600)
        assert run.phase() == "not answering"
    say(run, phase="starting", heartbeat=time.time() - 60)
    assert run.phase() == "interrupted"


def test_the_last_words_in_the_log_are_told_if_they_are_newer_than_the_status(empty_run: Callable[..., Run]) -> None:
    run = empty_run()
    run.log_path.write_text("Cannot save a checkpoint: permission denied.\n")
    status = silent(run, 60)
    assert unresponsive_reason(run, status, run.phase()) == (
        "The trainer died at step 7, and nothing is saved; its last output: Cannot save a checkpoint: permission denied."
    )
    os.utime(run.log_path, (0, 0))
    assert unresponsive_reason(run, status, run.phase()) == "The trainer died at step 7, and nothing is saved."


def test_a_folder_that_cannot_be_written_is_the_reason(
    empty_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, llmlab: Call
) -> None:
    """As on a file system that has become read-only, where nothing can be left behind."""
    run = empty_run()
    silent(run, 60)
    monkeypatch.setattr(run_folder.os, "access", lambda path, mode: Path(path) != run.path)
    listed = msgspec.json.decode(llmlab("runs", "--json").out)[0]
    assert listed["message"] == (
        f"The trainer died at step 7, and nothing is saved: {run.path} is not writable now, so it could not save."
    )


def test_in_a_folder_that_takes_no_new_files_the_reason_reaches_the_status(
    tiny_run: TinyRun, train_here: TrainHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after chmod a-w on the folder: what is there can be written over, and nothing be made, renamed or removed."""
    run = tiny_run()
    make, save = os.open, checkpoint.save_checkpoint
    closed: list[bool] = []

    def refuse(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if closed and flags & os.O_CREAT and Path(path).parent == run.path and not Path(path).exists():
            raise PermissionError(13, "Permission denied", str(path))
        return make(path, flags, *rest, **named)

    def close_then_save(*arguments: Any) -> None:
        if arguments[3].step >= 5:
            closed.append(True)
        save(*arguments)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(checkpoint, "save_checkpoint", close_then_save)
    monkeypatch.setattr("lab.training.checkpoint_schedule.SAVE_SECONDS", 0.0)
    monkeypatch.setattr("lab.training.checkpoint_schedule.SAVE_SHARE", 1e9)
    status = train_here(run)
    assert closed
    assert (status.phase, status.message) == ("failed", "Cannot save a checkpoint: permission denied.")
    assert run.phase() == "failed"
