"""The home of runs, and the names that a run may have."""

import sys
from pathlib import Path

import pytest

from lab.core.errors import UserError
from lab.runs import home_folder
from lab.runs.home_folder import check_name


def test_home_is_the_checkout_s_own_folder_unless_asked_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LLMLAB_HOME", raising=False)
    root = Path(home_folder.__file__).parents[2]
    assert home_folder.home() == root / "checkpoints"
    assert home_folder.demo() == root / "checkpoints" / "demo"
    monkeypatch.setenv("LLMLAB_HOME", "~/runs")
    assert home_folder.home() == Path.home() / "runs"
    monkeypatch.delenv("LLMLAB_HOME")
    monkeypatch.setattr(home_folder, "source_checkout", lambda: None)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert home_folder.home() == tmp_path / "llmlab" / "runs"
    assert home_folder.demo() == root / "lab" / "demo"


def test_runs_of_a_scaling_experiment_are_told_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / ".scaling" / "mine").mkdir(parents=True)
    of_it = {
        name: home_folder.is_of_scaling(tmp_path / name) for name in ("mine-1", "mine-12", "mine-x", "mine", "other-1", "-1")
    }
    assert of_it == {"mine-1": True, "mine-12": True, "mine-x": False, "mine": False, "other-1": False, "-1": False}


@pytest.mark.parametrize("name", ["", ".hidden", "-p", "a/b", "a\\b", "a\nb", " a", "a" * 101, "罪" * 100, "demo", ".."])
def test_names_that_no_run_may_have(name: str) -> None:
    with pytest.raises(UserError):
        check_name(name)


def test_names_that_a_run_may_have() -> None:
    for name in ("tinyshakespeare", "tiny-2", "Ulysses (1922)", "罪と罰", "a.b"):
        assert check_name(name) == name
