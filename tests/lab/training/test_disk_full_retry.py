"""A full disk: nothing computed is thrown away unasked, and what is called saved is on the disk."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import filelock
import msgspec
import pytest

from lab.analysis.run_sentence import saved_step
from lab.cli.follow_run import report_end
from lab.runs import run_control
from lab.runs.run_control import send_command, take_commands
from lab.runs.run_folder import Run
from lab.runs.run_schema import Status
from lab.runs.weights_file import load_model
from lab.training import checkpoint
from lab.training.command_inbox import CommandInbox
from lab.training.status_file import StatusBoard
from tests.fixture_types import Call, TinyRun, TrainHere
from tests.lab.runs.made_up_runs import say
from tests.lab.training.compare_runs import assert_equal_weights


class Disk:
    """Has no room for checkpoints of steps after `full_after` until `make_room`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, full_after: int) -> None:
        self.full_after: int | None = full_after
        save = checkpoint.save_checkpoint

        def save_if_there_is_room(*arguments: object) -> None:
            state = arguments[3]
            assert isinstance(state, checkpoint.TrainerState)
            if self.full_after is not None and state.step > self.full_after:
                raise OSError(errno.ENOSPC, "No space left on device")
            save(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(checkpoint, "save_checkpoint", save_if_there_is_room)
        monkeypatch.setattr("lab.training.checkpoint_schedule.SAVE_SECONDS", 0.0)
        monkeypatch.setattr("lab.training.checkpoint_schedule.SAVE_SHARE", 1e9)

    def make_room(self) -> None:
        self.full_after = None


def while_it_waits(monkeypatch: pytest.MonkeyPatch, *happenings: Callable[[], None]) -> list[Callable[[], None]]:
    """Has these happen, one each time that the trainer begins to wait; gives those that have not happened yet."""
    left, wait = list(happenings), CommandInbox.wait

    def happen(self: CommandInbox, *arguments: object) -> None:
        left.pop(0)()
        wait(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(CommandInbox, "wait", happen)
    monkeypatch.setattr("lab.training.run_logs.RETRY_SECONDS", 0.2)
    return left


def test_a_stop_waits_for_room_and_then_saves_all(
    straight: Run, tiny_run: TinyRun, train_here: TrainHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run()
    disk = Disk(monkeypatch, full_after=7)
    seen: list[Status] = []

    def stop() -> None:
        seen.append(run.status())
        send_command(run.control_path, "stop")

    def make_room() -> None:
        seen.append(run.status())
        disk.make_room()

    left = while_it_waits(monkeypatch, stop, make_room)
    status = train_here(run)
    assert not left
    assert [(said.phase, said.no_room, said.stopping) for said in seen] == [("paused", True, False), ("paused", True, True)]
    assert seen[1].message.endswith("The last checkpoint, of step 7, is whole. It stops as soon as there is room.")
    assert (status.phase, status.step, status.message, status.no_room, status.stopping) == ("stopped", 8, "", False, False)
    assert saved_step(run) == load_model(run, "last")[1] == 8
    monkeypatch.undo()
    assert train_here(run).phase == "finished"
    assert_equal_weights(run, straight)


def test_a_disk_that_fills_up_before_the_last_save_is_waited_for_too(
    tiny_run: TinyRun, train_here: TrainHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run()
    disk = Disk(monkeypatch, full_after=0)
    monkeypatch.setattr("lab.training.checkpoint_schedule.SAVE_SECONDS", 1e9)
    left = while_it_waits(monkeypatch, disk.make_room)
    status = train_here(run, until=5)
    assert not left
    assert (status.phase, status.step, status.message) == ("stopped", 5, "Ended by SIGTERM.")
    assert saved_step(run) == 5


def test_only_who_says_so_discards_what_is_not_saved(
    tiny_run: TinyRun, train_here: TrainHere, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tiny_run()
    Disk(monkeypatch, full_after=7)
    left = while_it_waits(
        monkeypatch,
        lambda: send_command(run.control_path, "stop"),
        lambda: None,
        lambda: send_command(run.control_path, "discard"),
    )
    status = train_here(run)
    assert not left
    assert (status.phase, status.step) == ("stopped", 7)
    assert status.message == (
        "Ended on a full disk at step 8; what was not saved was discarded, as asked. The last checkpoint, of step 7, is whole."
    )
    assert saved_step(run) == 7
    assert report_end(run) == 0
    assert "is stopped at step 7 and saved. Ended on a full disk at step 8" in capfd.readouterr().out


def test_stop_says_that_it_is_waited_for_room(empty_run: Callable[..., Run], llmlab: Call) -> None:
    run = empty_run()
    say(run, phase="paused", step=294, no_room=True, stopping=True)
    with filelock.FileLock(run.lock_path):
        done = llmlab("stop", "tale")
    words = (
        "llmlab: tale is not stopped yet: the disk is full, so that step 294 cannot be saved. It waits, and stops as soon as "
        "there is room. `llmlab stop --discard tale` gives up all of it.\n"
    )
    assert done == (1, "", words)
    assert [command.name for command in take_commands(run.control_path)] == ["stop"]


@pytest.mark.parametrize("stopping", [False, True])
def test_resume_says_that_it_is_waited_for_room(
    stopping: bool, empty_run: Callable[..., Run], llmlab: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = empty_run()
    say(run, phase="paused", step=294, no_room=True, stopping=stopping)
    with filelock.FileLock(run.lock_path):
        done = llmlab("resume", "tale", "--detach")
    if stopping:
        words = (
            "llmlab: tale was told to stop, and waits for room on its full disk to save step 294. `llmlab resume tale` resumes it"
        )
        assert done == (1, "", f"{words} once it has stopped.\n")
    else:
        assert done == (0, "tale continues from step 294 as soon as there is room on its full disk.\n", "")
    assert take_commands(run.control_path) == [("resume", "")], "it tries again at once"
    monkeypatch.setattr("lab.cli.commands.resume_command.follow", lambda *_, **__: 0)
    with filelock.FileLock(run.lock_path):
        assert llmlab("resume", "tale").code == int(stopping), "also where the stop is followed and saved"


@pytest.mark.parametrize("damaged", [False, True])
def test_saved_is_said_of_what_is_on_the_disk(
    damaged: bool, tiny_run: TinyRun, train_here: TrainHere, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tiny_run()
    train_here(run, until=3)
    train_here(run, until=6)
    status = run.status()
    if damaged:
        last = run.path / "last.safetensors"
        last.write_bytes(last.read_bytes()[:-100])
    else:
        status.step = 9
        run.status_path.write_bytes(msgspec.json.encode(status))
    assert report_end(run) == 1
    whole = 3 if damaged else 6
    assert f"at step {status.step}, which is not saved: its last whole checkpoint is of step {whole}." in capfd.readouterr().err


def test_a_command_sent_again_while_it_is_read_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send_command(tmp_path, "sample", "one")
    read = run_control.read_regular

    def read_while_another_comes(path: Path, most: int) -> bytes:
        text = read(path, most)
        monkeypatch.setattr(run_control, "read_regular", read)
        send_command(tmp_path, "sample", "two")
        return text

    monkeypatch.setattr(run_control, "read_regular", read_while_another_comes)
    assert [take_commands(tmp_path)[0].text, take_commands(tmp_path)[0].text] == ["one", "two"]
    assert list(tmp_path.iterdir()) == []


def test_a_shorter_status_leaves_no_rest_of_a_longer_one_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "status.json"
    board = StatusBoard(path, Status(phase="training", message="x" * 5000))
    board.start()

    def full(path: Path) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lab.core.atomic_io.open_to_replace", full)
    board.update(message="short")
    assert json.loads(path.read_bytes())["message"] == "short"
    board.update(message="y" * 9000)
    assert json.loads(path.read_bytes())["message"] == "y" * 9000
    board.end()
