"""Every file that a user exports: into no run, over no other file unasked, through a link, with the file's permissions."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.core.errors import UserError
from lab.data.cleaning.measure_funnel import FunnelRequest, _work
from lab.exchange.export_files import write_screenshot, write_text
from lab.runs.home_folder import demo
from lab.runs.run_folder import Run
from tests.fixture_types import Call

TRACE, REPORT = ("trace", "tiny", "-p", "The", "--npz"), ("report", "tiny", "-o")
COMMANDS = {"trace": TRACE, "report": REPORT, "data": ("data", "stories:1KB", "--save")}
RUN_FILES = ("tokens.bin", "config.json", "last.safetensors", "metrics.jsonl", "snapshots/0.safetensors", "of-my-own.txt")


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return COMMANDS[request.param]


@pytest.fixture
def tiny(home: Path) -> Run:
    """A run of the user's."""
    shutil.copytree(demo(), home / "tiny")
    return Run(home / "tiny")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_exported_into_a_run(llmlab: Call, tiny: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    before = contents(tiny.path)
    (tmp_path / "innocent").symlink_to(tiny.tokens_path)
    (tmp_path / "folder").symlink_to(tiny.path)
    for target in (*(tiny.path / name for name in RUN_FILES), tmp_path / "innocent", tmp_path / "folder" / "tokens.bin"):
        llmlab(*command, target, "--force").assert_mistake("is in the folder of a run")
    assert contents(tiny.path) == before
    (tiny.path / "status.json").unlink()  # as in a run that has not been trained yet
    llmlab(*command, tiny.path / "new").assert_mistake("is in the folder of a run")


def test_another_file_is_replaced_only_where_it_is_asked_for(
    llmlab: Call, tiny: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    mine, link = tmp_path / "mine.txt", tmp_path / "link.txt"
    mine.write_text("mine")
    mine.chmod(0o640)
    link.symlink_to(mine)
    for target in (mine, link):
        llmlab(*command, target).assert_mistake("exists already", "--force")
    assert mine.read_text() == "mine"
    done = llmlab(*command, link, "--force")
    assert done.code == 0, done.err
    assert link.is_symlink()
    assert mine.read_bytes() != b"mine"
    assert mine.stat().st_mode & 0o777 == 0o640
    dangling = tmp_path / "to be made.txt"
    link.unlink()
    link.symlink_to(dangling)
    assert llmlab(*command, link).code == 0
    assert link.is_symlink()
    assert dangling.is_file()
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_a_place_that_cannot_be_written_is_one_sentence(
    llmlab: Call, tiny: Run, tmp_path: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("loop").symlink_to("loop")
    for target in ("/proc/x", "/nowhere/x", "/dev/null", "/", "a" * 300, "file/x", "loop"):
        llmlab(*command, target).assert_mistake()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_is_read_only_is_not_replaced(llmlab: Call, tiny: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    mine.chmod(0o400)
    llmlab(*command, mine, "--force").assert_mistake("permission denied")
    assert mine.read_text() == "mine"


OF_THE_SCREEN: tuple[Callable[[Path], object], ...] = (
    lambda path: write_text(path, "x"),
    lambda path: write_screenshot(path, "<svg/>"),
    lambda path: _work(FunnelRequest("stories:1KB", None, (), str(path), replace=True), lambda *_: None),
)


def test_what_the_screen_exports_goes_into_no_run(tiny: Run) -> None:
    before = contents(tiny.path)
    for export in OF_THE_SCREEN:
        for target in (tiny.tokens_path, tiny.path / "new.svg"):
            with pytest.raises(UserError, match="is in the folder of a run"):
                export(target)
    assert contents(tiny.path) == before
