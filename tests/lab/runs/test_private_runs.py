import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.cli import command_registry
from lab.exercises.exercise import NAMES
from lab.exercises.learner_files import begin
from lab.inspect.prompt_history import remember
from lab.runs import find_runs
from lab.runs.run_control import send_command
from lab.runs.run_folder import Run
from lab.runs.run_schema import Status
from lab.training import start_trainer
from tests.fixture_types import Call, TinyRun, TrainHere
from tests.lab.training.module_forker import Forker, ModuleForker

pytestmark = pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")

Train = Callable[[Run], Status]


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): oct(stat.S_IMODE(path.stat().st_mode)) for path in (folder, *folder.rglob("*"))}


def test_a_new_run_is_its_owner_s_alone(tiny_run: TinyRun, train_here: Train) -> None:
    run = tiny_run(steps=4)
    train_here(run)
    send_command(run.control_path, "sample", "secret")
    found = modes(run.path)
    assert {name for name, mode in found.items() if mode == "0o700"} == {".", "snapshots", "control"}
    assert set(found.values()) == {"0o700", "0o600"}, found
    assert {"config.json", "tokenizer.json", "tokens.bin", "metrics.jsonl", "last.safetensors"} < set(found)


def test_a_home_with_the_set_group_id_bit_is_shared(tiny_run: TinyRun, train_here: Train, home: Path) -> None:
    home.chmod(0o2775)
    os.umask(0o002)
    run = tiny_run(steps=4)
    train_here(run)
    found = modes(run.path)
    assert stat.S_IMODE(run.path.stat().st_mode) & 0o777 == 0o775
    assert {mode for name, mode in found.items() if (run.path / name).is_file()} == {"0o664"}, found


def test_a_run_from_before_keeps_its_readers(tiny_run: TinyRun, train_here: Train) -> None:
    run = tiny_run(steps=4)
    run.path.chmod(0o755)
    train_here(run)
    assert stat.S_IMODE(run.status_path.stat().st_mode) == 0o644


def test_a_home_that_the_lab_makes_is_its_owner_s_alone(tmp_path: Path) -> None:
    remember(tmp_path / "new", "secret")
    assert modes(tmp_path / "new") == {".": "0o700", "prompts.jsonl": "0o600"}
    file = begin(tmp_path / "other" / ".learn" / "write", NAMES[0])
    folders = {".": "0o700", ".learn": "0o700", ".learn/write": "0o700"}
    assert modes(tmp_path / "other") == folders | {f".learn/write/{file.name}": "0o600"}, "also those above the one that is named"


def main(arguments: list[str]) -> int:
    """Resume a run in the background; the trainer is forked from this process."""
    start_trainer.DetachedProcess = Forker().detached_process  # type: ignore[assignment, misc]
    return command_registry.run(["resume", *arguments, "--detach"])


def test_of_three_that_resume_at_once_one_trains(
    tiny_run: TinyRun, train_here: TrainHere, forker: ModuleForker, tmp_path: Path
) -> None:
    run, log = tiny_run(steps=1_000_000), tmp_path / "log"
    train_here(run, until=3)
    try:
        resumes = [forker.fork(__name__, [str(run.path)], log=log) for _ in range(3)]
        assert sorted(forker.code_of(pid) or 0 for pid in resumes) == [0, 2, 2], log.read_text()
        assert log.read_text().count("is already being trained by process") == 2
    finally:
        status = run.status()
        if run.is_alive():
            os.kill(status.pid, 9)


def everything_but(home: Path, below: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and folder below `below` outside the home: when it changed, and its contents."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in below.rglob("*")
        if path != home and home not in path.parents
    }


def test_nothing_outside_the_home_is_written_or_deleted(
    home: Path, tmp_path: Path, tiny_run: TinyRun, train_here: TrainHere, llmlab: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("keep me")
    for variable in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        (tmp_path / variable).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.chdir(elsewhere)
    run = tiny_run()
    before = everything_but(home, tmp_path)
    train_here(run, until=12)
    (run.path / "mine").symlink_to(elsewhere)
    train_here(run)
    for command in (("runs",), ("generate", "tale", "-n", "3"), ("params", "tale"), ("rename", "tale", "story")):
        assert llmlab(*command).code == 0, command
    assert llmlab("delete", "story", "--yes").code == 0
    assert find_runs.list_runs() == []
    assert everything_but(home, tmp_path) == before
