"""Runs of another machine, mirrored over an `ssh` that is a shell on this one: what comes, what is refused, what is lost."""

import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from lab.core.errors import UserError
from lab.planning.prepare_run import prepare_run
from lab.planning.settings_table import RunRequest
from lab.runs import run_mirror
from lab.runs.find_runs import list_runs
from lab.runs.home_folder import MIRROR
from lab.runs.rename_delete import delete_run, rename_run
from lab.runs.run_folder import Run
from lab.runs.run_mirror import RunMirror
from lab.runs.run_schema import Phase, Status
from lab.runs.run_summary import RunsWatcher
from lab.training.start_trainer import start_trainer
from tests.lab.runs.fake_box import FakeBox, wait_until
from tests.lab.runs.made_up_runs import config


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBox:
    return FakeBox(tmp_path / "box", monkeypatch)


@pytest.fixture
def mirror(tmp_path: Path, box: FakeBox, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunMirror]:
    folder = tmp_path / "mirror" / "me@box"
    folder.mkdir(parents=True)
    monkeypatch.setenv(MIRROR, str(folder))
    monkeypatch.setattr("lab.runs.run_summary.BUNDLED", ())
    made = RunMirror("me@box", "", folder)
    yield made
    made.end()
    assert not [number for number in box.shells() if os.path.exists(f"/proc/{number}/cwd")], "no shell is left"


def make_run(box: FakeBox, name: str, phase: Phase = "finished", heartbeat: float = 0.0) -> Path:
    """A run's folder on the other machine, whose lock nobody here holds, with weights and a trainer called as this process."""
    folder = box.home / name
    (folder / "snapshots").mkdir(parents=True)
    (folder / "config.json").write_bytes(msgspec.json.encode(config(steps=10)))
    status = Status(phase=phase, pid=os.getpid(), host=platform.node(), heartbeat=heartbeat or time.time())
    (folder / "status.json").write_bytes(msgspec.json.encode(status))
    for file in ("metrics.jsonl", "samples.jsonl", "tokenizer.json", "tokens.bin", "last.safetensors", "lock", "trainer.log"):
        (folder / file).write_text(f"{name} {file}\n")
    return folder


def here(mirror: RunMirror, name: str = "tale") -> Path:
    return Path(os.environ[MIRROR], name)


def test_small_files_are_mirrored_follow_as_they_grow_and_go_with_their_run(box: FakeBox, mirror: RunMirror) -> None:
    folder, metrics = make_run(box, "tale"), here(mirror) / "metrics.jsonl"
    make_run(box, "other one")
    mirror.in_view = "tale"
    mirror.update()
    small = {"config.json", "status.json", "metrics.jsonl", "samples.jsonl", "tokenizer.json"}
    assert set(os.listdir(here(mirror))) == {*small, "tokens.bin"}
    assert set(os.listdir(here(mirror, "other one"))) == small, "the text comes with the run in view"
    inode = metrics.stat().st_ino
    with (folder / "metrics.jsonl").open("a") as file:
        file.write("more\n" * 100_000)  # in more than one part
    wait_until(lambda: (mirror.update(), metrics.read_bytes() == (folder / "metrics.jsonl").read_bytes())[1])
    assert metrics.stat().st_ino == inode, "it was appended to"
    (folder / "new").write_text("x" * 1_000_000)
    (folder / "new").replace(folder / "metrics.jsonl")
    wait_until(lambda: (mirror.update(), metrics.read_text() == "x" * 1_000_000)[1])
    assert metrics.stat().st_ino != inode
    (box.home / "other one").rename(box.home / "renamed")
    mirror.update()
    assert [run.name for run in list_runs()] == ["renamed", "tale"]
    (folder / "samples.jsonl").unlink()
    mirror.update()
    assert "samples.jsonl" not in os.listdir(here(mirror))
    assert not {"lock", "last.safetensors"} & {path.name for path in here(mirror).parent.rglob("*")}


@pytest.mark.parametrize("home", ["runs", "~/runs", "{folder}/runs", "odd '$(touch x)' \"name\""])
def test_the_folder_of_the_runs_is_the_one_that_is_named(home: str, box: FakeBox, mirror: RunMirror) -> None:
    home = home.format(folder=box.folder)
    box.home = box.folder / home.removeprefix("~/")
    make_run(box, "tale")
    named = RunMirror("me@box", home, here(mirror).parent)
    named.update()
    named.end()
    assert [run.name for run in list_runs()] == ["tale"]
    box.home.rename(box.folder / "gone")
    with pytest.raises(UserError, match=r"^me@box has no folder .*; name their folder: llmlab watch me@box:FOLDER\.$"):
        named.update()
    named.end()
    assert not (box.folder / "x").exists()


LINE = "printf '%s\\n' '12 {mode} 1 0 0 {size} Nov 29 15:25 {path}'"
PLAIN = {"mode": "-rw-------", "size": "9", "path": "tale/config.json"}


@pytest.mark.parametrize(
    ("odd", "path", "reason"),
    [
        ({"path": "../config.json"}, "..", "is not a run: '..' cannot be a run's name"),
        ({"path": "../../x/config.json"}, "../../x/config.json", "is not a regular file of a run"),
        ({"path": "/etc/config.json"}, "/etc/config.json", "is not a regular file of a run"),
        ({"path": "/config.json"}, "", "is not a run: A run's name must have 1 to 100 characters"),
        ({"path": "tale/../../config.json"}, "tale/../../config.json", "is not a regular file of a run"),
        ({"path": "tale/.ssh"}, "tale/.ssh", "is not a regular file of a run"),
        ({"path": "-rf/config.json"}, "-rf", "is not a run"),
        ({"path": ".contact/config.json"}, ".contact", "is not a run"),
        ({"path": "\x1b[2J/config.json"}, "␛[2J", "is not a run: '\\x1b[2J' cannot be"),
        ({"path": "‮x/config.json"}, "\\u202ex", "is not a run"),
        ({"path": "n" * 101 + "/config.json"}, "n" * 101, "is not a run"),
        ({"mode": "lrwxrwxrwx", "path": "tale/config.json -> /etc/passwd"}, "tale/config.json", "is not a regular file of a run"),
        ({"mode": "prw-------"}, "tale/config.json", "is not a regular file of a run"),
        ({"mode": "crw-------", "size": "1, 5"}, "tale/config.json", "is not a regular file of a run"),
        ({"mode": "drwx------"}, "tale/config.json", "is not a regular file of a run"),
        ({"size": "9" * 12}, "tale/config.json", "has 1.0 TB; at most 8.4 MB are copied, 1.1 GB of all"),
        (
            {"size": "9" * 400},
            "12 -rw------- 1 0 0 " + "9" * 400 + " Nov 29 15:25 tale/config.json",
            "is not a regular file of a run",
        ),
    ],
)
def test_what_a_hostile_machine_lists_is_refused_and_named(
    odd: dict[str, str], path: str, reason: str, box: FakeBox, mirror: RunMirror
) -> None:
    box.program("ls", LINE.format(**PLAIN | odd))
    mirror.update()
    assert list(mirror.left_out) == [path]
    assert mirror.left_out[path].startswith(reason)
    assert sorted(os.listdir(here(mirror).parent)) == [".contact"]
    assert os.listdir(here(mirror).parent.parent) == ["me@box"]


def test_a_file_that_cannot_be_read_is_named_and_asked_for_without_haste(box: FakeBox, mirror: RunMirror) -> None:
    make_run(box, "tale")
    box.program("tail", 'case "$4" in *metrics.jsonl|*status.json) exit 1;; esac; exec /usr/bin/tail "$@"')
    assert not mirror.update(), "there is no more to come"
    assert mirror.left_out == dict.fromkeys(("tale/metrics.jsonl", "tale/status.json"), "cannot be read")
    assert {"config.json", "samples.jsonl"} <= set(os.listdir(here(mirror)))


def test_links_pipes_and_huge_files_are_left_out_and_the_rest_comes(box: FakeBox, mirror: RunMirror) -> None:
    folder = make_run(box, "tale")
    for file in ("metrics.jsonl", "samples.jsonl"):
        (folder / file).unlink()
    (folder / "metrics.jsonl").symlink_to("/etc/passwd")
    os.mkfifo(folder / "samples.jsonl")
    os.truncate(folder / "tokens.bin", 1 << 40)
    make_run(box, "a\nb")
    make_run(box, "demo")
    mirror.update()
    assert set(os.listdir(here(mirror))) == {"config.json", "status.json", "tokenizer.json"}
    assert {"tale/metrics.jsonl", "tale/samples.jsonl", "tale/tokens.bin", "a"} < set(mirror.left_out)
    assert [run.name for run in list_runs()] == ["tale"]


@pytest.mark.parametrize(
    ("file", "contents"),
    [("config.json", b"{"), ("config.json", b"\xff\0"), ("status.json", b'{"phase": 1}'), ("status.json", b"")],
)
def test_a_damaged_file_is_shown_as_it_is_where_it_lies(file: str, contents: bytes, box: FakeBox, mirror: RunMirror) -> None:
    (make_run(box, "tale") / file).write_bytes(contents)
    mirror.update()
    (run,) = RunsWatcher().read()
    assert (run.name, run.phase) == ("tale", "damaged")
    assert run.problem.startswith(f"{file} is damaged: ")


@pytest.mark.parametrize("ahead", [0, 3600, -86_400])
@pytest.mark.parametrize(("silent", "phase"), [(0, "training"), (60, "interrupted")])
def test_a_run_trains_by_the_clock_of_its_machine_until_the_last_contact(
    ahead: int, silent: int, phase: str, box: FakeBox, mirror: RunMirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.program("date", f"echo {int(time.time()) + ahead}")
    make_run(box, "tale", "training", time.time() + ahead - silent)
    mirror.update()
    (run,) = RunsWatcher().read()
    assert (run.phase, run.is_watched, run.owner) == (phase, True, f"process {os.getpid()} on {platform.node()} over ssh")
    assert run.last_heartbeat == pytest.approx(time.time() - silent, abs=3)
    later = time.time() + 500
    monkeypatch.setattr("time.time", lambda: later)
    assert Run(here(mirror)).phase() == phase, "nothing has been heard since"


SENTENCE = "^These runs are on me@box and are watched from here, read-only.$"


@pytest.mark.parametrize(
    "change",
    [
        lambda run: run.send_command("stop"),
        lambda run: rename_run(run, "new"),
        delete_run,
        start_trainer,
        lambda run: prepare_run(RunRequest(text="stories:1KB")),
    ],
)
def test_what_would_change_a_run_is_refused_in_one_sentence(
    change: Callable[[Run], object], box: FakeBox, mirror: RunMirror, home: Path
) -> None:
    make_run(box, "tale", "training")
    mirror.update()
    with pytest.raises(UserError, match=SENTENCE):
        change(Run(here(mirror)))
    assert os.listdir(home) == []
    assert "control" not in os.listdir(box.home / "tale")


def test_a_lost_connection_is_said_and_made_again(box: FakeBox, mirror: RunMirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_mirror, "SECONDS_BETWEEN", 0.01)
    monkeypatch.setattr(run_mirror, "LONGEST_PAUSE", 0.02)
    make_run(box, "tale")
    following = threading.Thread(target=mirror.follow)
    following.start()
    wait_until(lambda: (here(mirror) / "config.json").exists())
    box.cut()
    wait_until(lambda: mirror.problem == "me@box cannot be reached: ssh: connect to host box port 22: Connection refused.")
    make_run(box, "meanwhile")
    assert [run.name for run in list_runs()] == ["tale"]
    box.mend()
    wait_until(lambda: not mirror.problem and len(list_runs()) == 2)
    mirror.end()
    following.join(10)
    assert not following.is_alive()


@pytest.mark.parametrize(
    ("program", "script", "said"),
    [
        ("ls", "sleep 60", "me@box has not answered for 0 seconds."),
        ("ls", "yes", "me@box sends more than it is asked for."),
        ("tail", "yes", "me@box sends more than it is asked for."),
        ("date", "echo now", "The runs of me@box cannot be listed, or are more than 1,000."),
        ("date", f"echo {'9' * 400}", "The runs of me@box cannot be listed, or are more than 1,000."),
        ("ls", "kill -9 $PPID", "me@box cannot be reached: the connection was closed."),
    ],
)
def test_a_machine_that_answers_otherwise_is_given_up(
    program: str, script: str, said: str, box: FakeBox, mirror: RunMirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_mirror, "ANSWER_SECONDS", 0.4)
    monkeypatch.setattr(run_mirror, "LISTING_BYTES", 1 << 20)
    make_run(box, "tale")
    box.program(program, script)
    if program == "tail":
        box.program("head", "cat")
    with pytest.raises(UserError) as raised:
        mirror.update()
    assert str(raised.value) == said


def test_what_a_machine_sends_is_bounded_by_what_it_listed(box: FakeBox, mirror: RunMirror) -> None:
    """Ten tokenizers of ten bytes, each of which turns out to have sixteen megabytes."""
    lines = [
        LINE.format(mode="-rw-------", size=10, path=f"t{at}/{file}")
        for at in range(10)
        for file in ("config.json", "tokenizer.json")
    ]
    box.program("ls", "\n".join(lines))
    box.program("tail", "head -c 16777216 /dev/zero")
    mirror.update()
    assert {path.stat().st_size for path in here(mirror).parent.rglob("*.json")} == {10}
    mirror.end()
    box.program("head", "exec /usr/bin/head -c 11 /dev/zero")
    box.program("ls", LINE.format(mode="-rw-------", size=10, path="new/config.json"))
    with pytest.raises(UserError, match="sends more than it is asked for"):
        mirror.update()
    assert "new" not in os.listdir(here(mirror).parent)


def test_a_machine_that_lists_more_runs_than_it_says_gets_no_folders_for_them(
    box: FakeBox, mirror: RunMirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_mirror, "MOST_RUNS", 20)
    make_run(box, "tale")
    box.program("ls", "\n".join(LINE.format(mode="-rw-------", size=9, path=f"t{at}/config.json") for at in range(21)))
    with pytest.raises(UserError, match="me@box lists more runs than it says it has"):
        mirror.update()
    assert not here(mirror).parent.exists() or os.listdir(here(mirror).parent) == []


def test_errors_without_end_fill_no_disk(box: FakeBox, mirror: RunMirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come from ssh itself: the shell over there has its own thrown away."""
    monkeypatch.setattr(run_mirror, "LISTING_BYTES", 1 << 20)
    ssh = box.folder / "client" / "ssh"
    ssh.write_text(f"#!/bin/sh\necho $$ >> {box.folder}/shells\nexec yes >&2\n")
    with pytest.raises(UserError, match="me@box sends more than it is asked for"):
        mirror.update()


def test_an_answer_of_a_byte_now_and_then_is_given_up(box: FakeBox, mirror: RunMirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_mirror, "WHOLE_ANSWER_SECONDS", 0.2)
    make_run(box, "tale")
    box.program("ls", "while printf x; do sleep 0.05; done")
    with pytest.raises(UserError, match=r"^me@box answers too slowly: \d+ B in \d+ seconds\.$"):
        mirror.update()
