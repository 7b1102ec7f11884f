"""status.json where it can only be overwritten in place."""

import errno
import json
from pathlib import Path

import pytest

from lab.runs.run_schema import Status
from lab.training.status_file import StatusBoard


def test_a_shorter_status_leaves_no_rest_of_a_longer_one_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "status.json"
    board = StatusBoard(path, Status(phase="training", message="x" * 5000))
    board.start()

    def full(path: Path) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lab.training.status_file.open_to_replace", full)
    board.update(message="short")
    assert json.loads(path.read_bytes())["message"] == "short"
    board.update(message="y" * 9000)
    assert json.loads(path.read_bytes())["message"] == "y" * 9000
    board.end()
