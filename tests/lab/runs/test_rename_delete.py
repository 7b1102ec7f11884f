import fcntl
import os
import platform
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import filelock
import pytest

from lab.core.errors import UserError
from lab.core.unfinished_folder import owner
from lab.runs import find_runs
from lab.runs.find_runs import list_runs
from lab.runs.home_folder import BUNDLED
from lab.runs.rename_delete import DELETED_PREFIX, delete_run, delete_runs, refuse_to_delete, rename_run, size_of
from lab.runs.run_control import acquire_now, hold_inspect_lock, inspect_lock_is_held
from lab.runs.run_folder import Run
from tests.fixture_types import EmptyRun
from tests.lab.runs.made_up_runs import say

Call = Callable[..., object]
NOBODY = 999_999_999
"""No process has this number."""


def assert_stays(run: Run, words: str) -> None:
    """It can be neither renamed nor deleted, with these words."""
    for change in (lambda: rename_run(run, "mine"), lambda: delete_run(run), lambda: refuse_to_delete([run])):
        with pytest.raises(UserError, match=words):
            change()
    assert find_runs.is_run(run.path)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "lock"}


def test_a_lock_that_somebody_just_looks_at_is_not_taken_for_held(empty_run: EmptyRun, home: Path) -> None:
    run = empty_run("tale")
    for locked in ("lock", "config.json"):
        looks = os.open(run.path / locked, os.O_RDWR | os.O_CREAT)
        fcntl.flock(looks, fcntl.LOCK_SH if locked == "lock" else fcntl.LOCK_EX)
        end = threading.Timer(0.2, os.close, [looks])
        end.start()
        if locked == "lock":
            run = rename_run(run, "story")
            assert run.path == home / "story"
        else:
            held = hold_inspect_lock(run.path)
            assert held is not None
            os.close(held)
        end.join()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "1 to 100 characters"),
        ("a/b", "cannot be a run's name"),
        ("demo", "ships with the lab"),
        ("tale", "name already"),
        ("saga", "a run called saga already"),
        ("exports", "something else called exports"),
        ("\u7f6a" * 100, "300 bytes"),
    ],
)
def test_names_that_are_refused_leave_everything_alone(empty_run: EmptyRun, home: Path, name: str, words: str) -> None:
    run = empty_run("tale")
    empty_run("saga")
    (home / "exports").mkdir()
    with pytest.raises(UserError, match=words):
        rename_run(run, name)
    assert sorted(path.name for path in home.iterdir()) == ["exports", "saga", "tale"]


def test_a_run_with_a_trainer_or_open_in_a_lab_stays(empty_run: EmptyRun) -> None:
    run = empty_run()
    with filelock.FileLock(run.lock_path):
        assert_stays(run, "starting or ending")
        say(run)
        assert_stays(run, f"being trained by process 7 on {platform.node()}; stop it first")
    run = rename_run(rename_run(run, "mine"), "tale")
    descriptor = hold_inspect_lock(run.path)
    assert descriptor is not None
    assert inspect_lock_is_held(run.path)
    assert_stays(run, "tale is open in Inspect or Learn of another lab")
    os.close(descriptor)
    assert not inspect_lock_is_held(run.path)
    assert rename_run(run, "mine").name == "mine"
    assert not inspect_lock_is_held(run.path), "there is nothing to hold any more"


@contextmanager
def trainer_elsewhere(run: Run, clock: float) -> Iterator[None]:
    """A trainer on another machine, whose clock is so many seconds off."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(0.05):
            say(run, host="abacus", heartbeat=time.time() + clock)

    thread = threading.Thread(target=beat)
    thread.start()
    while not run.status_path.exists():
        time.sleep(0.01)
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("clock", [0, 60, -60])
def test_a_run_with_a_trainer_on_another_machine_stays_whatever_its_clock(
    empty_run: EmptyRun, llmlab: Call, clock: float
) -> None:
    run = empty_run()
    with trainer_elsewhere(run, clock):
        assert_stays(run, "tale is being trained by process 7 on abacus")
        for command in (("rename", "tale", "mine"), ("delete", "tale", "--yes")):
            done = llmlab(*command)
            assert done.code == 2
            assert ("Listening for 3 seconds, as tale may still be trained on abacus.\n" in done.err) == bool(clock)


def test_a_name_that_is_refused_is_not_listened_for(empty_run: EmptyRun, llmlab: Call) -> None:
    run = empty_run()
    empty_run("saga")
    say(run, host="abacus", heartbeat=time.time() - 60)
    assert llmlab("rename", "tale", "saga").err == "llmlab: There is a run called saga already; choose another name.\n"


def test_deleting_frees_what_it_says(empty_run: EmptyRun, home: Path) -> None:
    run = empty_run()
    kept = empty_run("kept")
    run.snapshots_path.mkdir()
    (run.snapshots_path / "0.safetensors").write_bytes(os.urandom(300_000))
    os.link(kept.path / "config.json", run.path / "linked")
    size = size_of(run)
    assert 300_000 <= size < 340_000
    assert delete_run(run) == size
    assert [path.name for path in home.iterdir()] == ["kept"]


def test_a_kill_while_deleting_leaves_no_half_of_a_run(empty_run: EmptyRun, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, other = empty_run("tale"), empty_run("other")
    (run.path / "last.safetensors").write_bytes(bytes(1000))

    def killed(path: Path, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            delete_run(run)
    (left,) = home.glob(f"{DELETED_PREFIX}*")
    assert sorted(contents(left)) == ["config.json", "last.safetensors"]
    assert [found.name for found in list_runs()] == ["other"]
    left.rename(home / left.name.replace(f"-{os.getpid()}-", f"-{NOBODY}-"))
    delete_run(other)
    assert list(home.iterdir()) == []


def test_deleting_leaves_alone_what_living_processes_delete(empty_run: EmptyRun, home: Path) -> None:
    here = owner().partition("-")[2]
    gone = (f"{NOBODY}-{here}", f"{NOBODY}-1")
    living = (f"{os.getppid()}-{here}", f"{os.getppid()}-1", f"{NOBODY}-1-0@elsewhere")
    run = empty_run("tale")
    for each in (*gone, *living):
        (home / f"{DELETED_PREFIX}{each}").mkdir()
    delete_run(run)
    assert {path.name for path in home.iterdir()} == {f"{DELETED_PREFIX}{each}" for each in living}


def test_a_run_that_somebody_else_removes_the_rest_of_is_deleted(
    empty_run: EmptyRun, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def removed_by_another(path: Path, **options: bool) -> None:
        remove(path)
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", removed_by_another)
    assert delete_run(empty_run("tale")) > 0
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("change", [delete_run, lambda run: rename_run(run, "mine")], ids=["delete", "rename"])
def test_a_run_that_goes_while_its_lock_is_waited_for_is_neither_renamed_nor_deleted(
    change: Callable[[Run], object], replaced: bool, empty_run: EmptyRun, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = empty_run("tale")
    if replaced:
        empty_run("other")

    def late(lock: filelock.BaseFileLock) -> object:
        run.path.rename(home / "saga")
        if replaced:
            (home / "other").rename(run.path)
        return acquire_now(lock)

    monkeypatch.setattr("lab.runs.rename_delete.acquire_now", late)
    words = "tale was replaced by another run" if replaced else "no run called tale any more"
    with pytest.raises(UserError, match=words):
        change(run)
    assert sorted(path.name for path in home.iterdir()) == (["saga", "tale"] if replaced else ["saga"])
    assert all(map(find_runs.is_run, home.iterdir()))


def test_of_changes_at_one_time_one_is_made_and_the_others_say_that_the_run_is_gone(empty_run: EmptyRun, home: Path) -> None:
    for _ in range(10):
        run = empty_run("tale")
        start = threading.Barrier(4)
        changes = (delete_run, delete_run, lambda run: rename_run(run, "saga"), lambda run: rename_run(run, "myth"))

        def outcome(change: Callable[[Run], object], start: threading.Barrier = start, run: Run = run) -> str:
            start.wait()
            try:
                change(run)
            except UserError as error:
                return str(error)
            return "done"

        with ThreadPoolExecutor(4) as pool:
            said = list(pool.map(outcome, changes))
        assert sorted(said) == ["There is no run called tale any more: it was renamed or deleted."] * 3 + ["done"]
        left = [path.name for path in home.iterdir()]
        assert left == ([] if "done" in said[:2] else ["saga"] if said[2] == "done" else ["myth"])
        for name in left:
            delete_run(Run(home / name))


def test_a_name_that_is_taken_in_the_last_moment_is_told_as_one_that_is(
    empty_run: EmptyRun, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = empty_run("tale")
    empty_run("saga")
    (home / "file").touch()
    (home / "link").symlink_to("nowhere")
    with pytest.raises(UserError, match="something else called link already"):
        rename_run(run, "link")
    monkeypatch.setattr("lab.runs.rename_delete.check_new_name", lambda run, name: name)
    for name, what in (("saga", "a run"), ("file", "something else")):
        with pytest.raises(UserError, match=f"There is {what} called {name} already"):
            rename_run(run, name)
    assert find_runs.is_run(run.path)


def test_a_link_to_a_run_elsewhere_is_left_to_the_user(empty_run: EmptyRun, home: Path, tmp_path: Path) -> None:
    run = empty_run()
    run.path.rename(tmp_path / "elsewhere")
    run.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link to"):
        delete_run(run)
    assert find_runs.is_run(tmp_path / "elsewhere")


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told_in_words(empty_run: EmptyRun, home: Path) -> None:
    run = empty_run()
    home.chmod(0o500)
    try:
        with pytest.raises(UserError, match="Cannot rename tale: permission denied"):
            rename_run(run, "saga")
    finally:
        home.chmod(0o700)


class TestCommands:
    def test_rename(self, llmlab: Call, empty_run: EmptyRun, home: Path) -> None:
        before = contents(empty_run("tale").path)
        done = llmlab("rename", "tale", "saga")
        assert (done.code, done.out) == (0, f"tale is now called saga; it is in {home / 'saga'}.\n")
        assert contents(home / "saga") == before
        assert [found.name for found in list_runs()] == ["saga"]
        assert "saga" in (told := llmlab("params", "saga").out)
        assert "tale" not in told
        llmlab("rename", "tale", "x").assert_mistake("no run called 'tale'")
        for name in BUNDLED:
            llmlab("rename", name, "mine").assert_mistake(f"{name} is a model that ships with the lab")
        llmlab("rename", "saga").assert_mistake("NEW", "llmlab rename --help")

    def test_delete_asks(self, llmlab: Call, empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch) -> None:
        run = empty_run("tale")
        llmlab("delete", "tale").assert_mistake("cannot be undone", "--yes")
        assert find_runs.is_run(run.path)
        asked: list[str] = []
        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        monkeypatch.setattr("click.confirm", lambda words: asked.append(words) or False)
        assert llmlab("delete", "tale").code == 1
        assert find_runs.is_run(run.path)
        monkeypatch.setattr("click.confirm", lambda words: True)
        done = llmlab("delete", "tale")
        assert (done.code, done.out) == (
            0,
            f"tale is deleted; {asked[0].partition('frees ')[2].partition(' and')[0]} freed.\n",
        )
        assert not run.path.exists()
        llmlab("delete", "tale", "--yes").assert_mistake("no run called 'tale'")
        llmlab("delete", "demo", "--yes").assert_mistake("ships with the lab", "neither renamed nor deleted")

    def test_runs_lists_the_bundled_ones_last(self, llmlab: Call, empty_run: EmptyRun) -> None:
        lines = llmlab("runs").out.splitlines()
        said = "val loss and bits/byte are of the best weights, which are opened."
        lines.remove(said)
        assert [line.split()[0] for line in lines] == ["run", "demo", "induction", "No"]
        empty_run("tale")
        lines = llmlab("runs").out.splitlines()
        lines.remove(said)
        assert [line.split()[0] for line in lines] == ["run", "tale", "demo", "induction"]
        assert "val loss" in lines[0]
        assert " loss" not in lines[0].replace("val loss", "")  # the last step's would disagree with the smoothed one of Train


def test_several_runs_are_deleted_all_or_none(empty_run: EmptyRun, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [empty_run(name) for name in ("first", "second", "third")]
    before = [contents(run.path) for run in runs]
    held = hold_inspect_lock(runs[1].path)
    assert held is not None
    for change in (refuse_to_delete, delete_runs):
        with pytest.raises(UserError, match="second is open in Inspect"):
            change(runs)
    os.close(held)

    rename = os.rename

    def refuse_the_last(source: Path, target: Path) -> None:
        if source == runs[2].path:
            raise PermissionError(13, "Permission denied")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse_the_last)
        with pytest.raises(UserError, match="delete third"):
            delete_runs(runs)
    assert [contents(run.path) for run in runs] == before
    refuse_to_delete(runs)
    assert [contents(run.path) for run in runs] == before
    delete_runs(runs)
    assert not list(home.iterdir())


def test_where_one_of_several_cannot_be_removed_the_others_are(
    empty_run: EmptyRun, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [empty_run(name) for name in "abc"]
    removed: list[Path] = []
    remove = shutil.rmtree

    def refuse_the_first(path: Path, **options: bool) -> None:
        removed.append(path)
        if len(removed) == 1:
            raise PermissionError(13, "Permission denied")
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", refuse_the_first)
    with pytest.raises(UserError, match=r"^Cannot remove all of a, the rest of which is in .*: permission denied\.$"):
        delete_runs(runs)
    assert [path.name for path in home.iterdir()] == [removed[0].name]


def test_a_run_that_can_neither_be_deleted_nor_named_as_before_is_told(
    empty_run: EmptyRun, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [empty_run(name) for name in "ab"]
    rename, calls = os.rename, list[Path]()

    def once(source: Path, target: Path) -> None:
        calls.append(source)
        if len(calls) > 1:
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", once)
    with pytest.raises(UserError, match=rf"^Cannot delete b, nor name .*{DELETED_PREFIX}.* as before: input/output error\.$"):
        delete_runs(runs)
