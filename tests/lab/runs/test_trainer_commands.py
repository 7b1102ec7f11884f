"""Commands that come at the same time, and those that come one after the other."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.runs.trainer_commands import send, take


def test_the_same_command_can_be_sent_by_two_threads_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        for _ in range(50):
            list(threads.map(lambda _: send(tmp_path, "pause"), range(2)))
            assert take(tmp_path) == [("pause", "")]
    assert list(tmp_path.iterdir()) == []


def test_commands_are_taken_in_the_order_of_their_coming_whatever_the_clock_says(tmp_path: Path) -> None:
    later = time.time() + 3600
    for names in (("resume", "pause"), ("pause", "resume"), ("save", "pause", "resume")):
        for is_set_back in (False, True):
            send(tmp_path, names[0])
            if is_set_back:
                os.utime(tmp_path / names[0], (later, later))
            for name in names[1:]:
                send(tmp_path, name)
            assert tuple(command.name for command in take(tmp_path)) == names


def test_a_command_that_cannot_be_sent_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "stop").mkdir()
    for _ in range(2):
        with pytest.raises(IsADirectoryError):
            send(tmp_path, "stop")
    assert [path.name for path in tmp_path.iterdir()] == ["stop"]


def test_a_disk_on_which_no_time_can_be_set_takes_commands_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time() + 3600
    send(tmp_path, "pause")
    os.utime(tmp_path / "pause", (later, later))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.utime", refuse)
    send(tmp_path, "stop")
    assert {command.name for command in take(tmp_path)} == {"pause", "stop"}
