"""Commands that come at the same time, and those that come one after the other."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.runs.trainer_commands import send, take


def test_the_same_command_can_be_sent_by_two_threads_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        for _ in range(50):
            list(threads.map(lambda _: send(tmp_path, "pause"), range(2)))
            assert take(tmp_path) == [("pause", "")]
    assert list(tmp_path.iterdir()) == []
