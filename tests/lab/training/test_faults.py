"""What befalls a run's folder between two trainings: moved, copied, damaged, out of date, read-only, owned by another machine.

Each is tried on a run that was really trained and stopped, and that is then gone on with, or refused in one sentence.
"""

import json
import os
import platform
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import filelock
import msgspec
import pytest
import torch

from lab.core.errors import UserError
from lab.core.safetensors_file import is_whole, read_metadata
from lab.runs.find_runs import open_run
from lab.runs.run_folder import Run
from lab.runs.run_schema import Status
from lab.runs.weights_file import load_model
from lab.training import trainer
from lab.training.status_file import StatusBoard
from lab.training.stop_signals import StopSignals
from lab.training.training_loop import Training
from tests.fixture_types import TinyRun, TrainHere
from tests.lab.conftest import TALE, make_shared_run, train_in_process
from tests.lab.training.compare_runs import assert_equal_weights, assert_same_run


@pytest.fixture(scope="module")
def first_stopped(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Stopped after step 17, with a checkpoint of step 12 before that; its text lies beside it."""
    run = make_shared_run(tmp_path_factory.mktemp("stopped"))
    train_in_process(run, until=12)
    train_in_process(run, until=17)
    return run


@pytest.fixture
def stopped(first_stopped: Run, home: Path) -> Iterator[Run]:
    """A copy of `first_stopped` in a home of its own; whatever becomes of its text is undone afterwards."""
    text = Path(first_stopped.config.data.source)
    facts = text.stat()
    yield Run(Path(shutil.copytree(first_stopped.path, home / first_stopped.name)))
    text.write_text(TALE)
    os.utime(text, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def test_a_copy_taken_while_it_trains_is_a_run_of_its_own_under_its_new_name(
    stopped: Run, straight: Run, train_here: TrainHere, tmp_path: Path
) -> None:
    """The copy's status tells of a live trainer, which is not the copy's."""
    status = stopped.status()
    status.phase, status.heartbeat, status.pid, status.host = "training", time.time(), os.getpid(), platform.node()
    stopped.status_path.write_bytes(msgspec.json.encode(status))
    with filelock.FileLock(stopped.lock_path):
        assert stopped.phase() == "training"
        copy = open_run(shutil.copytree(stopped.path, tmp_path / "quite another name"))
        assert copy.name == "quite another name"
        assert copy.phase() == "interrupted"
        trainer.acquire_run(copy).release()
        assert train_here(copy).phase == "finished"
    assert_same_run(copy, straight)
    assert stopped.status().step == 17


def test_a_text_that_is_gone_or_changed_is_said_and_not_mixed_in(stopped: Run, straight: Run, train_here: TrainHere) -> None:
    text = Path(stopped.config.data.source)
    said = []
    for change in (lambda: os.utime(text), lambda: text.write_text("quite another text\n" * 100), text.unlink):
        change()
        train_here(stopped, until=stopped.status().step + 1)
        said += [event.text for event in stopped.events().read() if event.kind == "resume"][-1:]
    goes_on = "training continues with the text as it was when the run was made."
    assert said == ["", f"{text} has changed; {goes_on}", f"{text} is gone; {goes_on}"]
    assert train_here(stopped).phase == "finished"
    assert_same_run(stopped, straight)


def flip(path: Path, at: int) -> bytes:
    """Changes one byte; gives what was there."""
    before = path.read_bytes()
    path.write_bytes(before[:at] + bytes([before[at] ^ 0x10]) + before[at + 1 :])
    return before


def test_no_changed_byte_of_a_checkpoint_goes_unseen(stopped: Run) -> None:
    """Here and there in the header, where the trainer state stands too, and in the numbers."""
    path = stopped.path / "last.safetensors"
    (length,) = struct.unpack("<Q", path.read_bytes()[:8])
    size, cursor = path.stat().st_size, (read_metadata(path) or {})["cursor"]
    for at in [*range(0, 8 + length, 61), *range(8 + length, size, 20_000), size - 1]:
        whole = flip(path, at)
        assert not is_whole(path) or (read_metadata(path) or {}).get("cursor") in (None, cursor), at
        path.write_bytes(whole)
    assert is_whole(path)


def test_a_checkpoint_whose_metadata_has_lost_its_name_is_not_used(stopped: Run, straight: Run, train_here: TrainHere) -> None:
    """The checksums stand there, too; but every checkpoint says where training stood."""
    flip(stopped.path / "last.safetensors", 12)
    assert train_here(stopped).phase == "finished"
    assert (stopped.path / "damaged.safetensors").exists()
    assert_same_run(stopped, straight)


@pytest.mark.parametrize("share", [0.02, 0.6])
def test_one_changed_byte_of_every_file_does_not_hinder_going_on(
    share: float, stopped: Run, straight: Run, train_here: TrainHere
) -> None:
    for name in ("last.safetensors", "metrics.jsonl", "status.json", "samples.jsonl", "events.jsonl"):
        flip(stopped.path / name, int(share * (stopped.path / name).stat().st_size))
    Run(stopped.path).status()
    assert train_here(stopped).phase == "finished"
    assert_equal_weights(stopped, straight)
    steps = [metric.step for metric in stopped.metrics().read()]
    assert steps == sorted(set(steps))
    assert len(steps) >= 30, "at most the line with that byte is lost"


def test_a_changed_byte_of_the_tokens_or_more_of_them_is_one_sentence(stopped: Run, train_here: TrainHere) -> None:
    whole = flip(stopped.tokens_path, 400)
    status = train_here(stopped)
    assert status.phase == "failed"
    assert status.message.startswith(f"{stopped.tokens_path} is not what it was when {stopped.name} was made")
    stopped.tokens_path.write_bytes(whole + b"xy")
    status = train_here(stopped)
    assert status.phase == "failed"
    assert "tokens.bin" in status.message


def test_a_changed_byte_of_the_settings_is_one_sentence(stopped: Run, train_here: TrainHere) -> None:
    """Wherever it lies, but in the name, which the folder says, and in white space; one says which device there is none of."""
    path = stopped.path / "config.json"
    whole = path.read_bytes()
    for at in [*range(40, len(whole), 67), whole.index(b'"device": "cpu"') + len('"device": "')]:
        flip(path, at)
        if json_or_none(path.read_bytes(), "name") != json_or_none(whole, "name"):
            try:
                said = train_here(Run(stopped.path), until=17).message
            except UserError as error:
                said = str(error)
            words = ("config.json", "tokens.bin is not what it was", "cannot be used (")
            assert any(each in said for each in words), (at, said)
            assert "\n" not in said
        path.write_bytes(whole)
    assert train_here(Run(stopped.path)).phase == "finished"


def json_or_none(raw: bytes, without: str) -> object:
    try:
        return {name: value for name, value in json.loads(raw).items() if name != without}
    except ValueError:
        return None


def test_a_run_of_before_these_settings_goes_on(stopped: Run, straight: Run, train_here: TrainHere) -> None:
    """Without whatever config.json and the checkpoint's cursor have got since format 1 began."""
    config = json.loads((stopped.path / "config.json").read_bytes())
    for new in ("accumulate", "schedule", "patience", "attention"):
        config["train"].pop(new, None)
    config["data"].pop("tokens_sha256")
    (stopped.path / "config.json").write_text(json.dumps(config))
    old = {"step", "seconds", "precision", "best_val_loss", "best_step", "pending"}
    for path in (stopped.path / "last.safetensors", stopped.path / "previous.safetensors"):
        cursor = json.loads((read_metadata(path) or {})["cursor"])
        rewrite(path, json.dumps({name: value for name, value in cursor.items() if name in old}))
    assert train_here(Run(stopped.path)).phase == "finished"
    assert_same_run(stopped, straight)


def rewrite(path: Path, cursor: str) -> None:
    """The file with another cursor, as it was written before headers had a checksum."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header["__metadata__"].pop("header_crc32")
    header["__metadata__"]["cursor"] = cursor
    written = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(written)) + written + raw[8 + length :])


def say(run: Run, **changes: object) -> Status:
    status = msgspec.structs.replace(run.status(), **{"phase": "training", "pid": 71, "host": "abacus"} | changes)
    run.status_path.write_bytes(msgspec.json.encode(status))
    return status


@pytest.mark.parametrize("clock", [-3600.0, 3600.0])
def test_a_silent_trainer_of_another_machine_is_taken_over(clock: float, stopped: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last sign of life may be from the future: clocks differ. The lock of a dead machine may lie there, held by nobody."""
    monkeypatch.setattr("lab.runs.run_folder.LISTEN_SECONDS", 0.05)
    status = say(stopped, heartbeat=time.time() + clock)
    stopped.lock_path.touch()
    trainer.acquire_run(stopped).release()
    assert trainer.takeover_note(status) == (
        "Process 71 on abacus trained it before and is silent, so that this one has taken over."
    )
    assert trainer.takeover_note(msgspec.structs.replace(status, host=platform.node())) == ""


def test_a_live_trainer_of_another_machine_is_left_alone_whatever_its_clock_says(stopped: Run) -> None:
    then = time.time() - 7200
    say(stopped, heartbeat=then)
    beat = threading.Timer(0.3, lambda: say(stopped, heartbeat=then + 1))
    beat.start()
    with pytest.raises(UserError, match="is already being trained by process 71 on abacus"):
        trainer.acquire_run(stopped)
    beat.join()


def test_a_clock_set_back_makes_no_dead_run_alive_and_no_live_one_dead(stopped: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the lock decides; a live trainer's next sign of life, a second later, has the new time."""
    now = time.time()
    say(stopped, host=platform.node(), heartbeat=now)
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    assert stopped.phase() == "interrupted"
    with filelock.FileLock(stopped.lock_path):
        say(stopped, host=platform.node(), heartbeat=time.time())
        assert stopped.phase() == "training"
        with pytest.raises(UserError, match="is already being trained"):
            trainer.acquire_run(stopped)


def test_a_run_that_is_deleted_before_its_trainer_has_it_stays_gone(stopped: Run, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(stopped.path, tmp_path / "tale")))
    shutil.rmtree(run.path)
    with pytest.raises(UserError, match="no run called tale any more"):
        trainer.acquire_run(run)
    assert not run.path.exists()


def test_a_read_only_folder_is_one_sentence(small_disk: Path, stopped: Run, train_here: TrainHere) -> None:
    run = Run(Path(shutil.copytree(stopped.path, small_disk / "run")))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(UserError, match=r"^Cannot train run: read-only file system\.$"):
        trainer.acquire_run(run)
    assert run.phase() == "stopped"
    assert load_model(run, "last")[1] == 17


def test_a_trainer_that_dies_before_its_first_checkpoint_leaves_the_weights_to_begin_with(
    tiny_run: TinyRun, train_tiny: TinyRun
) -> None:
    base = train_tiny()
    runs = [tiny_run(), tiny_run(start=base.name)]
    shutil.rmtree(base.path)
    for run in runs:
        board = StatusBoard(run.status_path, Status(phase="starting"))
        begun = Training(run, board, StopSignals())  # and dies
        again = Training(run, board, StopSignals())
        assert not (run.path / "last.safetensors").exists()
        for name, weight in begun.model.state_dict().items():
            assert torch.equal(again.model.state_dict()[name], weight), name
