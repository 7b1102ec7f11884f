"""A scaling experiment as a process: it trains every size, and survives a kill, a stop and a second start."""

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil  # type: ignore[import-untyped]
import pytest

from lab import job_process
from lab.core.child_process import DetachedProcess
from lab.core.errors import UserError
from lab.planning.step_time import TIMES, step_key
from lab.runs.find_runs import open_run
from lab.runs.run_control import trainer_lock
from lab.runs.run_folder import Run
from lab.training import start_trainer
from lab.training.job import STOPPED
from lab.training.scaling import scaling_plan
from lab.training.scaling.scaling_experiment import NOTHING, ScalingExperiment, start_scaling
from lab.training.scaling.scaling_plan import ScalingPlan, evaluation_interval
from lab.training.scaling.scaling_result import CurvesReader, scaling_result
from tests.fixture_types import Call, EmptyRun
from tests.lab.conftest import TALE
from tests.lab.training.module_forker import PATIENCE, Forker, ModuleForker, wait_for
from tests.lab.training.scaling.test_scaling_experiment import SHORT, TINY


@pytest.fixture
def plan(tmp_path: Path) -> ScalingPlan:
    """Two tiny sizes that train for a second each."""
    (tmp_path / "tale.txt").write_text(TALE * 20)
    return msgspec.structs.replace(SHORT, text=str(tmp_path / "tale.txt"))


@pytest.fixture
def experiment(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScalingExperiment]:
    made = ScalingExperiment("tiny")
    monkeypatch.setattr("lab.training.job.STOP_SECONDS", PATIENCE)
    yield made
    if made.exists():
        made.delete()


@pytest.fixture
def forked(forker: ModuleForker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork its process, and from that its trainers: each start of one would import torch."""

    def detached_process(module: str, arguments: Sequence[str], **where: Any) -> DetachedProcess:
        assert module == job_process.MODULE
        return forker.detached_process(__name__, arguments, **where)

    monkeypatch.setattr("lab.training.job.DetachedProcess", detached_process)


def main(arguments: list[str]) -> int:
    """`job_process`, whose trainers are forked from it; in runs of a second evaluations take more than the steps."""
    scaling_plan.EVALUATIONS_SHARE = 10.0
    start_trainer.DetachedProcess = Forker().detached_process  # type: ignore[assignment, misc]
    return job_process.main(arguments)


def time_no_steps(experiment: ScalingExperiment, plan: ScalingPlan, seconds: float = 0.01) -> None:
    """Write the time of a step of each size as if it had been measured before: measuring loads torch, once for each.

    About that of a quiet machine: evaluations are spaced by it, and cost more than the steps between them.
    """
    runs = [plan.resolved(at, experiment.home) for at in range(len(plan.sizes))]
    times = {step_key(run.model, run.train): seconds for run in runs}
    (experiment.home / TIMES.name).write_bytes(msgspec.json.encode(times))


@pytest.mark.parametrize("minutes", [0.1, 0.4, 2.0, 30.0])
@pytest.mark.parametrize("times", [(0.005, 0.01, 0.04, 0.2), (0.004, 0.02, 0.3, 4.0), (1.0, 2.0, 4.0, 9.0)])
def test_evaluations_take_a_small_share_of_each_run_however_short_it_is_and_slow_the_largest(
    home: Path, minutes: float, times: tuple[float, ...]
) -> None:
    plan = ScalingPlan(minutes=minutes)
    runs = [plan.resolved(at, home) for at in range(len(plan.sizes))]
    keys = [step_key(run.model, run.train) for run in runs]
    (home / TIMES.name).write_bytes(msgspec.json.encode(dict(zip(keys, times, strict=True))))
    for at, step in enumerate(times):
        every = evaluation_interval(plan, at, home, lambda: None)
        taken = 60 * minutes / step / every * (4 * step + 0.15)
        assert taken <= 0.26 * 60 * minutes, (at, every)
        if minutes >= 2 and times[-1] < 1:
            assert 60 * minutes / step / every >= 15, "enough for a curve"


def pid_of(experiment: ScalingExperiment) -> int:
    begun = experiment.history().begun
    assert begun is not None
    return begun.pid


def trainer_of(run: Run) -> psutil.Process:
    return psutil.Process(run.status().pid)


def test_killed_with_its_trainer_it_goes_on_where_it_was_and_ends(
    experiment: ScalingExperiment, plan: ScalingPlan, forked: None
) -> None:
    # As on a slow machine, so that also where the steps take as long there are evaluations to compare at equal tokens.
    time_no_steps(experiment, plan, seconds=0.03)
    start_scaling(experiment, plan)
    assert experiment.is_running()
    pid = pid_of(experiment)
    start_scaling(experiment)
    assert pid_of(experiment) == pid, "a second lab starts nothing"

    first = Run(experiment.home / "tiny-1")
    # A busy machine's first step may take the whole second that there is to train.
    wait_for(lambda: first.path.exists() and first.status().phase == "training")
    for process in (psutil.Process(pid), trainer_of(first)):
        process.kill()
    wait_for(lambda: not experiment.is_running() and first.phase() == "interrupted")
    progress = experiment.progress()
    assert (progress.phase, progress.sizes[1].phase) == ("stopped", "waiting")
    assert "was killed" in progress.problem

    start_scaling(experiment)
    wait_for(lambda: not experiment.is_running())
    progress = experiment.progress()
    assert (progress.phase, progress.problem, progress.done) == ("finished", "", 1.0)
    result = scaling_result(CurvesReader(experiment).read(), len(TINY))
    assert all(each.end is not None and each.end.loss < 5.7 for each in result.sizes), "below the uniform baseline"
    configs = [open_run(name).config for name in experiment.run_names(plan)]
    assert len({config.data.tokens_sha256 for config in configs}) == 1, "the same text and tokenizer"
    assert len({config.train.seed for config in configs}) == 1
    assert {config.train.batch for config in configs} == {4}
    assert all(1 <= size.seconds < 30 for size in experiment.progress().sizes), "its minutes, and the last evaluation"
    if result.tokens is None:
        pytest.skip("a busy machine has left too few evaluations to compare at equal tokens")
    assert all(result.same_tokens)


def test_stopped_it_saves_and_resumes_and_deleted_it_leaves_nothing(
    experiment: ScalingExperiment, plan: ScalingPlan, llmlab: Call, home: Path, forked: None
) -> None:
    time_no_steps(experiment, plan)
    start_scaling(experiment, msgspec.structs.replace(plan, minutes=10))
    first = Run(home / "tiny-1")
    wait_for(lambda: first.path.exists() and first.status().step > 0)
    trainer, process = trainer_of(first), psutil.Process(pid_of(experiment))
    process.kill()
    wait_for(lambda: not experiment.is_running())
    start_scaling(experiment)
    assert experiment.is_running()
    assert trainer_of(first) == trainer, "it takes over the trainer that still works"
    assert llmlab("scaling", "--name", "tiny", "--stop").code == 0
    assert (experiment.is_running(), first.phase(), experiment.progress().problem) == (False, "stopped", "")
    step = first.status().step
    assert llmlab("scaling", "--name", "tiny", "--detach").code == 0
    wait_for(lambda: first.status().step > step)
    first.send_command("stop")
    wait_for(lambda: not experiment.is_running())
    assert "tiny-1 was stopped" in experiment.progress().problem
    assert llmlab("scaling", "--name", "tiny", "--detach").code == 0
    wait_for(lambda: first.phase() == "training")
    psutil.Process(pid_of(experiment)).kill()
    wait_for(lambda: not experiment.is_running())
    assert "is stopped and saved" in llmlab("scaling", "--name", "tiny", "--stop").out
    assert first.phase() == "stopped", "its trainer, which outlives the process, is stopped too"
    llmlab("scaling", "other.txt", "--name", "tiny").assert_mistake("other.txt")
    llmlab("scaling", "--minutes", "0.5", "--name", "tiny").assert_mistake("already", "--delete")
    entry = msgspec.json.decode(llmlab("scaling", "--name", "tiny", "--json").out)
    assert (entry["phase"], [size["run"] for size in entry["sizes"]]) == ("stopped", ["tiny-1"])
    llmlab("scaling", "--name", "tiny", "--delete").assert_mistake("--yes")
    assert llmlab("scaling", "--name", "tiny", "--delete", "--yes").code == 0
    assert not (home / "tiny-1").exists()
    assert not experiment.path.exists()


def test_only_one_process_owns_an_experiment(
    experiment: ScalingExperiment, plan: ScalingPlan, forker: ModuleForker, tmp_path: Path
) -> None:
    experiment.create(plan)
    log = tmp_path / "log"
    with trainer_lock(experiment.lock_path).acquire(timeout=0):
        process = forker.fork(job_process.MODULE, [str(experiment.path), "null"], log=log, folder=experiment.path)
        assert forker.code_of(process) == 2
    assert "The scaling experiment tiny runs already." in log.read_text()
    assert experiment.history().begun is None


def test_a_signal_stops_a_true_process_while_it_prepares(experiment: ScalingExperiment, plan: ScalingPlan) -> None:
    plan = msgspec.structs.replace(plan, text="stories:60MB", vocab=2000)
    time_no_steps(experiment, plan)
    start_scaling(experiment, plan)
    wait_for(lambda: "timing" not in (experiment.history().doing.words or "timing"))
    os.kill(pid_of(experiment), signal.SIGTERM)
    wait_for(lambda: not experiment.is_running())
    ended, progress = experiment.history().ended, experiment.progress()
    assert ended is not None
    assert (ended.message, progress.problem, progress.doing) == (STOPPED, "", NOTHING)
    assert not (experiment.home / "tiny-1").exists()
    assert not list(experiment.home.glob(".preparing-*")), "nothing of the preparation is left"


def test_plans_that_cannot_be_and_names_that_are_taken_are_refused(experiment: ScalingExperiment, plan: ScalingPlan) -> None:
    for change, word in (
        ({"text": "missing.txt"}, "missing.txt"),
        ({"text": "-"}, "input"),
        ({"sizes": TINY[::-1]}, "must grow"),
    ):
        with pytest.raises(UserError, match=word):
            experiment.create(msgspec.structs.replace(plan, **change))
        assert not experiment.exists()
    (experiment.home / "tiny-2").mkdir()
    with pytest.raises(UserError, match="tiny-2"):
        experiment.create(plan)
    (experiment.home / "tiny-2").rmdir()
    experiment.create(plan)
    with pytest.raises(UserError, match="already"):
        experiment.create(plan)
    with pytest.raises(UserError, match="name"):
        ScalingExperiment("../b")


def test_a_run_that_is_not_the_plan_s_is_not_trained(
    experiment: ScalingExperiment, plan: ScalingPlan, empty_run: EmptyRun, forked: None
) -> None:
    experiment.create(plan)
    empty_run("tiny-1")
    start_scaling(experiment)
    wait_for(lambda: not experiment.is_running())
    assert "not the run of this experiment" in experiment.progress().problem


def test_a_run_that_was_deleted_is_told_as_that(
    experiment: ScalingExperiment, plan: ScalingPlan, llmlab: Call, forked: None
) -> None:
    time_no_steps(experiment, plan, seconds=0.5)
    start_scaling(experiment, msgspec.structs.replace(plan, minutes=10))
    first = Run(experiment.home / "tiny-1")
    wait_for(lambda: first.path.exists() and first.status().step > 0)
    trainer = trainer_of(first)
    first.path.rename(first.path.with_name(".gone"))
    wait_for(lambda: not experiment.is_running())
    assert experiment.progress().problem.startswith("tiny-1 was deleted; ")
    wait_for(lambda: not trainer.is_running())
