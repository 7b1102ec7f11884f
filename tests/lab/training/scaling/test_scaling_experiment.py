"""A scaling experiment on disk: the runs that are its own, a damaged plan, and a link in place of its folder."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from lab.core.errors import UserError
from lab.planning.prepare_run import prepare_run
from lab.runs.rename_delete import rename_run
from lab.runs.run_control import hold_inspect_lock
from lab.runs.run_folder import Run
from lab.training.scaling.scaling_experiment import ScalingExperiment, difference, experiment_names, start_scaling
from lab.training.scaling.scaling_plan import ModelSize, ScalingPlan
from lab.training.scaling.scaling_result import CurvesReader
from tests.fixture_types import Call
from tests.lab.conftest import TALE

TINY = (ModelSize(1, 1, 8), ModelSize(1, 2, 16))
SHORT = ScalingPlan(minutes=1 / 60, sizes=TINY, context=16, vocab=300, batch=4)


@pytest.fixture
def experiment(home: Path, tmp_path: Path) -> ScalingExperiment:
    """An experiment that was stopped before its first run."""
    (tmp_path / "tale.txt").write_text(TALE)
    made = ScalingExperiment("tiny", home)
    made.create(msgspec.structs.replace(SHORT, text=str(tmp_path / "tale.txt")))
    return made


def make(experiment: ScalingExperiment, at: int, name: str | None = None, **changes: object) -> Run:
    """Make the run of a size as the experiment does, or with other settings."""
    plan = experiment.plan()
    request = plan.request(at, name or experiment.run_names(plan)[at], experiment.home, 10)
    return prepare_run(msgspec.structs.replace(request, **changes))


def names(experiment: ScalingExperiment) -> list[str]:
    return [run.name for run in experiment.runs(experiment.plan()) if run is not None]


@pytest.mark.parametrize("text", ["stories:20KB", "*.txt", ".", "tale.txt\nstories:20KB"])
def test_a_run_of_any_text_is_of_that_of_the_plan(home: Path, tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("tale.txt").write_text(TALE)
    Path("second.txt").write_text(TALE.upper())
    experiment = ScalingExperiment("tiny", home)
    experiment.create(msgspec.structs.replace(SHORT, text=text))
    monkeypatch.chdir(tmp_path)
    make(experiment, 0)
    assert names(experiment) == ["tiny-1"]


def renamed(experiment: ScalingExperiment) -> None:
    rename_run(make(experiment, 1, "mine"), "tiny-2")


def damaged(experiment: ScalingExperiment) -> None:
    (make(experiment, 1).path / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("make_other", "reason"),
    [
        (lambda experiment: make(experiment, 1, width=32), "another shape"),
        (lambda experiment: make(experiment, 1, text="stories:20KB"), "another text"),
        (lambda experiment: make(experiment, 1, minutes=None, steps=10), "trained otherwise"),
        (renamed, "made as mine"),
        (damaged, "cannot be read"),
    ],
)
def test_a_run_of_somebody_else_is_neither_shown_nor_deleted(
    experiment: ScalingExperiment,
    llmlab: Call,
    home: Path,
    make_other: Callable[[ScalingExperiment], object],
    reason: str,
) -> None:
    make(experiment, 0)
    make_other(experiment)
    assert names(experiment) == ["tiny-1"]
    assert [size.phase for size in experiment.progress().sizes] == ["stopped", "waiting"]
    assert [curve.name for curve in CurvesReader(experiment).read()] == ["tiny-1"]
    shown = llmlab("scaling", "--name", "tiny", "--json")
    assert shown.code == 0, shown.err
    entry = msgspec.json.decode(shown.out)
    assert [size["run"] for size in entry["sizes"]] == ["tiny-1"]
    assert list(entry["other_runs"]) == ["tiny-2"]
    assert reason in entry["other_runs"]["tiny-2"]

    deleted = llmlab("scaling", "--name", "tiny", "--delete", "--yes")
    assert deleted.code == 0, deleted.err
    assert "tiny-1" in deleted.out
    assert "tiny-2 stays, since it is not a run of tiny" in deleted.out
    assert reason in deleted.out
    assert [path.name for path in home.glob("tiny*")] == ["tiny-2"]
    assert not experiment.path.exists()


def test_runs_as_the_experiment_makes_them_are_its_own_and_none_is_deleted_where_one_is_open(
    experiment: ScalingExperiment, llmlab: Call, home: Path
) -> None:
    runs = [make(experiment, at) for at in range(len(TINY))]
    assert experiment.others(experiment.plan()) == {}
    held = hold_inspect_lock(runs[1].path)
    assert held is not None
    llmlab("scaling", "--name", "tiny", "--delete", "--yes").assert_mistake("tiny-2 is open in Inspect")
    assert names(experiment) == ["tiny-1", "tiny-2"]
    with pytest.raises(UserError, match="not a run"):
        difference(Run(home / "gone"), experiment.plan(), 0)


@pytest.mark.parametrize("contents", ["{", '{"sizes": []}', '{"minutes": -1}', '{"context": 0}'])
def test_an_experiment_whose_plan_is_damaged_can_be_deleted_without_its_runs(
    experiment: ScalingExperiment, llmlab: Call, home: Path, contents: str
) -> None:
    make(experiment, 0)
    experiment.plan_path.write_text(contents)
    for asked in ((), ("--stop",), ("--json",), ("--detach",)):
        llmlab("scaling", "--name", "tiny", *asked).assert_mistake("plan.json", "`llmlab scaling --name tiny --delete`")
    llmlab("scaling", "--name", "tiny", "--delete").assert_mistake("--yes")
    deleted = llmlab("scaling", "--name", "tiny", "--delete", "--yes")
    assert deleted.code == 0, deleted.err
    assert "stay" in deleted.out
    assert not experiment.path.exists()
    assert (home / "tiny-1").is_dir()


def test_the_plan_of_a_newer_llmlab_and_a_file_in_place_of_the_folder_are_kept(
    experiment: ScalingExperiment, llmlab: Call, home: Path
) -> None:
    experiment.plan_path.write_text('{"format": 99}')
    llmlab("scaling", "--name", "tiny", "--delete", "--yes").assert_mistake("newer llmlab")
    assert experiment.plan_path.exists()
    (home / ".scaling" / "other").write_text("")
    llmlab("scaling", "stories:20KB", "--name", "other").assert_mistake("is not a folder")


def test_experiments_are_listed_the_newest_first_without_one_that_is_damaged(home: Path) -> None:
    for name, created in (("old", 1.0), ("new", 3.0), ("between", 2.0), ("damaged", 4.0)):
        experiment = ScalingExperiment(name, home)
        experiment.path.mkdir(parents=True)
        plan = msgspec.json.encode(msgspec.structs.replace(SHORT, created=created))
        experiment.plan_path.write_bytes(b"{" if name == "damaged" else plan)
    assert experiment_names(home) == ["new", "between", "old"]


@pytest.mark.parametrize("link", [".scaling", ".scaling/tiny"])
@pytest.mark.parametrize("is_there", [True, False], ids=["of an experiment", "to nothing"])
def test_a_link_in_place_of_the_folder_is_refused(
    experiment: ScalingExperiment, llmlab: Call, home: Path, tmp_path: Path, link: str, is_there: bool
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (home / link).rename(elsewhere)
    (home / link).symlink_to(elsewhere if is_there else tmp_path / "nothing")
    before = sorted(elsewhere.rglob("*"))
    with pytest.raises(UserError, match="is a link"):
        start_scaling(experiment, SHORT)
    for asked in ((), ("--stop",), ("--json",), ("--delete", "--yes")):
        llmlab("scaling", "--name", "tiny", *asked).assert_mistake(f"{home / link} is a link")
    assert sorted(elsewhere.rglob("*")) == before
    assert not (tmp_path / "nothing").exists()
