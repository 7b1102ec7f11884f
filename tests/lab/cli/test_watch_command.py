"""`llmlab watch`, in this process, over an `ssh` that is a shell on this machine."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.core.unfinished_folder import owner
from lab.runs.find_runs import list_runs
from lab.runs.home_folder import MIRROR
from tests.fixture_types import Call, EmptyRun
from tests.lab.runs.fake_box import FakeBox


@pytest.fixture
def box(tmp_path: Path, home: Path, empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch) -> FakeBox:
    """A machine with one run; the lab opens, as in a terminal, and closes at once."""
    made = FakeBox(tmp_path / "box", monkeypatch)
    empty_run("tale").path.rename(made.home / "tale")
    monkeypatch.setattr("lab.cli.commands.watch_command.problem_of_terminal", lambda: "")
    return made


@pytest.mark.parametrize("asked", [("me@box",), ("box", "tale"), ("box:.local/share/llmlab/runs",)])
def test_it_opens_the_lab_on_the_runs_of_a_machine_and_leaves_nothing_behind(
    asked: tuple[str, ...], box: FakeBox, home: Path, llmlab: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, list[str], Path]] = []

    def open_lab(mirror: object) -> int:
        opened.append((getattr(mirror, "in_view", ""), [run.name for run in list_runs()], list_runs()[0].path.parent))
        return 0

    monkeypatch.setattr("lab.cli.commands.watch_command.open_lab_on", open_lab)
    done = llmlab("watch", *asked)
    assert (done.code, done.out, done.err) == (0, "", f"Connecting to {asked[0].partition(':')[0]} …\n")
    ((run, names, folder),) = opened
    assert (run, names) == ("".join(asked[1:]), ["tale"])
    assert not folder.exists()
    assert MIRROR not in os.environ
    assert os.listdir(home) == []


def test_what_cannot_be_watched_is_one_sentence(box: FakeBox, llmlab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(said: str, *asked: str) -> None:
        done = llmlab("watch", *asked)
        assert (done.code, done.err) == (2, f"Connecting to box …\nllmlab: {said}\n")
        assert MIRROR not in os.environ

    refused("box has no folder '/nowhere'; name their folder: llmlab watch box:FOLDER.", "box:/nowhere")
    for name in ("tail", "../tale"):
        refused(f"There is no run called '{name}' on box.", "box", name)
    (box.folder / "cut").touch()
    refused("box cannot be reached: ssh: connect to host box port 22: Connection refused.", "box")
    monkeypatch.setenv("PATH", str(box.folder / "bin"))
    refused("Cannot run ssh: no such file or directory.", "box")


KILLED = """
import os, signal
from lab.cli.commands import watch_command
from lab.cli.command_registry import run
watch_command.problem_of_terminal = lambda: ""
watch_command.open_lab_on = lambda mirror: os.kill(os.getpid(), signal.SIGKILL)
run(["watch", "box"])
"""


def test_the_mirror_of_a_lab_that_was_killed_goes_when_the_next_one_watches(
    box: FakeBox, llmlab: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of one that is still there stays."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert subprocess.run([sys.executable, "-c", KILLED], check=False).returncode == -signal.SIGKILL
    assert len(list(folder.iterdir())) == 1
    other = folder / f"llmlab-watch-x-{owner()}"
    other.mkdir()
    assert llmlab("watch", "box", "nothing").code == 2
    assert list(folder.iterdir()) == [other]
