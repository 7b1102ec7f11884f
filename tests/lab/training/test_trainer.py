"""The trainer as a process: signals, commands, kills, and who owns a run.

Each start of one imports torch, which takes longer than these runs, so that most are forked from a process that has it.
"""

import collections
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil  # type: ignore[import-untyped]
import pytest
import torch

from lab.core.errors import UserError
from lab.runs.run_control import trainer_lock_is_held
from lab.runs.run_schema import Status
from lab.runs.weights_file import load_model
from lab.training.start_trainer import start_trainer
from lab.training.stop_signals import StopSignals
from lab.training.trainer import NICENESS, train
from tests.fixture_types import TinyRun
from tests.lab.training.module_forker import ModuleForker, wait_for


@pytest.fixture(autouse=True)
def _no_trainer_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "lab.training.trainer" in command and str(tmp_path) in command[-1]:
            process.kill()


def test_commands_pause_sample_resume_and_stop_and_a_second_trainer_is_turned_away(
    tiny_run: TinyRun, forked_trainers: None, forker: ModuleForker, tmp_path: Path
) -> None:
    run, log = tiny_run(steps=1_000_000), tmp_path / "log"
    pid = start_trainer(run)
    wait_for(lambda: run.status().phase == "training" and run.status().step > 5)
    run.send_command("pause")
    wait_for(lambda: run.phase() == "paused")
    step = run.status().step
    assert load_model(run, "last")[1] == step
    run.send_command("sample", "The wet")
    wait_for(lambda: any(sample.prompt == "The wet" and sample.step == step for sample in run.samples()))

    with pytest.raises(UserError, match=f"is already being trained by process {pid} on "):
        start_trainer(run)
    assert forker.code_of(forker.fork("lab.training.trainer", [str(run.path)], log=log)) == 2
    assert log.read_text() == f"tale is already being trained by process {pid} on {os.uname().nodename}.\n"
    status = run.status()
    assert (status.pid, status.phase, status.step) == (pid, "paused", step)

    beat = status.heartbeat
    wait_for(lambda: run.status().heartbeat > beat)
    assert run.is_alive()
    run.send_command("resume")
    wait_for(lambda: run.status().step > step)
    assert run.phase() == "training"
    run.send_command("stop")
    wait_for(lambda: not trainer_lock_is_held(run.lock_path))
    status = run.status()
    assert (status.phase, status.message) == ("stopped", "")
    assert load_model(run, "last")[1] == status.step
    with pytest.raises(UserError, match="not training now"):
        run.send_command("stop")


def test_training_outlives_who_started_it_and_minds_no_folders_of_the_user_s_own(
    tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(steps=1_000_000)
    for folder in (run.path, run.path.parent):
        for name in ("lab", "models"):
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text("raise ImportError('this is not the lab')")
    monkeypatch.chdir(run.path.parent)
    program = (
        "import os, signal, sys; from lab.runs.find_runs import open_run; from lab.training.start_trainer import start_trainer;"
        "start_trainer(open_run(sys.argv[1]));"
        "os.killpg(0, signal.SIGKILL)"
    )
    parent = subprocess.run([sys.executable, "-P", "-c", program, str(run.path)], start_new_session=True, check=False)
    assert parent.returncode == -signal.SIGKILL
    wait_for(lambda: run.status().step > 5)
    trainer = psutil.Process(run.status().pid)
    assert os.getsid(trainer.pid) == trainer.pid
    step = run.status().step
    wait_for(lambda: run.status().step > step)
    os.kill(trainer.pid, signal.SIGHUP)
    wait_for(lambda: not trainer_lock_is_held(run.lock_path))
    assert (run.status().phase, run.status().message) == ("stopped", "Ended by SIGHUP.")


def test_nothing_saved_is_lost_by_kills_at_random_moments(forker: ModuleForker, tmp_path: Path) -> None:
    """A round of the script; run it by itself for more."""
    log = tmp_path / "log"
    pid = forker.fork("tests.lab.training.kill_rounds", ["--rounds", "1", "--fine-tune"], log=log)
    assert forker.code_of(pid) == 0, log.read_text()


def test_a_full_disk_holds_the_training_until_there_is_room(tiny_run: TinyRun, small_disk: Path, forked_trainers: None) -> None:
    run = tiny_run(steps=1_000_000, home=small_disk)
    pid = start_trainer(run)
    wait_for(lambda: run.status().step > 5)
    run.send_command("save")
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        collections.deque(map(file.write, itertools.repeat(bytes(4096))), maxlen=0)
    wait_for(lambda: run.status().message.startswith("Paused because the disk is full"))
    status = run.status()
    assert run.phase() == "paused"
    assert run.is_alive()
    wait_for(lambda: run.status().heartbeat > status.heartbeat)
    assert load_model(run, "last")[1] <= status.step
    ballast.unlink()
    run.send_command("resume")
    wait_for(lambda: run.phase() == "training" and run.status().step > status.step + 5)
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not trainer_lock_is_held(run.lock_path))
    steps = [metric.step for metric in run.metrics().read()]
    assert steps == list(range(run.status().step + 1))
    assert load_model(run, "last")[1] == run.status().step


def test_a_set_up_without_memory_is_told_in_a_sentence(tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    monkeypatch.setattr("lab.training.model_as_trained.make_optimizer", full)
    lowered: list[int] = []
    monkeypatch.setattr("lab.training.trainer.lower_priority", lowered.append)
    run = tiny_run()
    assert train(run, StopSignals()) == 1
    assert lowered
    assert set(lowered) == {NICENESS}
    status = run.status()
    assert status.phase == "failed"
    assert status.message.startswith("There is not enough memory for the weights and the optimizer of ")
    assert status.message.endswith("close other programs and resume, or start a new run with a smaller model.")


def test_in_a_folder_where_no_file_can_be_made_no_training_begins(
    tiny_run: TinyRun, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status can be overwritten there, so that it once said that the run was training."""
    run = tiny_run()
    make = os.open

    def refuse(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & os.O_CREAT and Path(path).parent == run.path and not Path(path).exists():
            raise PermissionError(13, "Permission denied", str(path))
        return make(path, flags, *rest, **named)

    before = msgspec.json.encode(Status(phase="stopped", step=7))
    run.status_path.write_bytes(before)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert train(run, StopSignals()) == 2
    assert capfd.readouterr().err == f"Cannot write into {run.path}: permission denied.\n"
    assert run.status_path.read_bytes() == before
