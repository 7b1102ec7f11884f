"""Texts can be private: a new run can be read by its owner alone, unless the home is shared on purpose."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.inspect.prompt_history import remember
from lab.runs import trainer_commands
from lab.runs.run_folder import Run
from lab.runs.run_schema import Status
from tests.fixture_types import TinyRun

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
    trainer_commands.send(run.control_path, "sample", "secret")
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
