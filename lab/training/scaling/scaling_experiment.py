"""A scaling experiment on disk: `.scaling/NAME` in the folder of runs, and one run for each size, called NAME-1 and so on.

It is a job, whose folder also has plan.json: what is trained, written once. Its record says what its process does, or why it
ended. How far it is, its runs say: a run's folder is the truth. So it can be looked at, and go on, after a kill at any moment.

Each size is an ordinary run, trained by the ordinary trainer in a process of its own. The experiment's process makes the runs,
starts their trainers and waits; it loads no torch.
"""

import contextlib
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from lab.core.atomic_io import os_error_in_words, write_atomic
from lab.core.errors import DamagedFileError, UserError
from lab.core.safe_open import LARGEST_CONFIG, read_json, refuse_link
from lab.planning.prepare_run import prepare_run
from lab.planning.prepare_text import PrepareProgress
from lab.runs.find_runs import is_run
from lab.runs.home_folder import check_name, scaling_folder
from lab.runs.home_folder import home as home_of_runs
from lab.runs.rename_delete import delete_runs
from lab.runs.run_control import trainer_lock_is_held
from lab.runs.run_folder import ACTIVE, Run
from lab.runs.run_schema import Fraction, Sentence
from lab.runs.run_summary import fraction_done
from lab.training import job
from lab.training.command_inbox import StopRequestedError
from lab.training.job import STOPPED, Begun, Ended, History, Job, Write, history_of
from lab.training.scaling.scaling_plan import FORMAT, ScalingPlan, absolute_source, check_plan, evaluation_interval
from lab.training.start_trainer import start_trainer


def difference(run: Run, plan: ScalingPlan, at: int) -> str:
    """The reason in words why the run is not that of the size `at`, from 0; "" if it is.

    An experiment makes its runs under their names, which no run had before, with the settings of the plan.

    Raises:
        UserError: if it is no run any more.
    """
    try:
        config = run.config
    except DamagedFileError:
        return "its config.json cannot be read"
    size, model, train = plan.sizes[at], config.model, config.train
    if (model.layers, model.heads, model.width, model.context) != (size.layers, size.heads, size.width, plan.context):
        return "its model has another shape"
    if config.data.source != plan.text:
        return "it was made of another text"
    if config.name != run.name:
        return f"it was made as {config.name}"
    if (train.minutes, train.batch) != (plan.minutes, plan.batch) or config.start or config.tuning or config.imported:
        return "it was trained otherwise"
    return ""


POLL_SECONDS = 0.1
KILLED = "Its process was killed; when it is resumed, it goes on where it was."

Phase = Literal["none", "running", "stopped", "finished"]


class Doing(msgspec.Struct, tag=True, frozen=True):
    """What is done beside training: words such as `scaling-2: encoding the text`, and the share that is done; "" for nothing."""

    words: Sentence
    share: Fraction = 0.0


SECONDS_BETWEEN_WRITES = 0.5
NOTHING = Doing("")


@dataclass
class ScalingHistory(History):
    """The record of an experiment."""

    LINE: ClassVar[Any] = Begun | Doing | Ended

    doing: Doing = NOTHING

    def take(self, line: msgspec.Struct) -> None:
        if isinstance(line, Doing):
            self.doing = line

    @property
    def problem(self) -> str:
        """The reason why the process ended before all was done, unless it was stopped."""
        if self.ended is None:
            return KILLED if self.begun is not None else ""
        return "" if self.ended.is_finished or self.ended.message == STOPPED else self.ended.message


@dataclass(frozen=True)
class SizeProgress:
    """One size of an experiment: its run, as far as there is one."""

    name: str
    number: int
    """From 1, the smallest."""
    run: Run | None
    phase: str
    """The run's phase; `waiting` where there is no run yet."""
    done: float
    """Share of its training that is done, 0 to 1."""
    seconds: float
    """Time spent training."""


@dataclass(frozen=True)
class ScalingProgress:
    """An experiment at one moment, read from its files."""

    phase: Phase
    sizes: tuple[SizeProgress, ...]
    doing: Doing
    problem: str
    """The reason why it stands still, where it should not."""

    @property
    def done(self) -> float:
        """Share of the training of all sizes that is done."""
        return sum(size.done for size in self.sizes) / max(1, len(self.sizes))


class ScalingExperiment(Job):
    """An experiment: its folder, and the work of its process. The constructor reads nothing."""

    FOLDER = ".scaling"
    NICENESS = 15
    """Priority below that of other runs' trainers. The trainers that it starts inherit it."""
    THREADS = None

    def __init__(self, name: str, home: Path | None = None) -> None:
        """Raises: UserError, if it cannot be a run's name."""
        super().__init__(check_name(name), home or home_of_runs())
        self.plan_path = self.path / "plan.json"

    def exists(self) -> bool:
        return self.plan_path.exists()

    def plan(self) -> ScalingPlan:
        """plan.json.

        Raises:
            UserError: if there is no such experiment, a link has the name of its folder, or a newer llmlab wrote the file.
            DamagedFileError: if the file cannot be used as it is, with the command that deletes the experiment.
        """
        self._refuse_links()
        try:
            plan = read_json(self.plan_path, ScalingPlan, LARGEST_CONFIG)
        except FileNotFoundError:
            raise UserError(f"There is no scaling experiment called {self.name}; llmlab scaling starts one.") from None
        except DamagedFileError as error:
            command = f"llmlab scaling --name {shlex.quote(self.name)} --delete"
            reason = f"{error.reason}; `{command}` deletes this experiment, and leaves its runs"
            raise DamagedFileError(self.plan_path, reason) from error
        except OSError as error:
            raise os_error_in_words(error, f"read {self.plan_path}") from error
        if plan.format > FORMAT:
            raise UserError(f"{self.plan_path} was made by a newer llmlab; update llmlab.")
        return plan

    def create(self, plan: ScalingPlan) -> None:
        """Write the plan of a new experiment.

        Raises:
            UserError: if there is such an experiment, or a run has one of its names; if a link has the name of its folder; if the
                text cannot be opened, or is standard input, which is not there for the second size.
        """
        self._refuse_links()
        check_plan(plan)
        plan = msgspec.structs.replace(plan, text=absolute_source(plan), created=time.time(), minutes_of_steps=True)
        taken = next((name for name in self.run_names(plan) if (self.home / name).exists()), None)
        if taken is not None:
            raise UserError(f"There is a run called {taken} already; give the experiment another name, with --name.")
        try:
            self.make()
            if self.exists():
                raise UserError(f"There is a scaling experiment called {self.name} already.")
            write_atomic(self.plan_path, msgspec.json.format(msgspec.json.encode(plan), indent=1))
        except OSError as error:
            raise os_error_in_words(error, f"make a scaling experiment in {self.home}") from error

    def run_names(self, plan: ScalingPlan) -> list[str]:
        """Names of its runs, the smallest model first."""
        return [f"{self.name}-{number}" for number in range(1, len(plan.sizes) + 1)]

    def _refuse_links(self) -> None:
        """Check that no link has the name of its folder, or of the folder of all. Raises UserError otherwise."""
        for folder in (self.path.parent, self.path):
            refuse_link(folder)

    def runs(self, plan: ScalingPlan) -> list[Run | None]:
        """Its runs as far as they have been made, without those of others."""
        return [None if run is None or difference(run, plan, at) else run for at, run in enumerate(self._named(plan))]

    def others(self, plan: ScalingPlan) -> dict[str, str]:
        """The runs that have a name of its own and are not its own, each with the reason why not."""
        found = {run.name: difference(run, plan, at) for at, run in enumerate(self._named(plan)) if run is not None}
        return {name: reason for name, reason in found.items() if reason}

    def _named(self, plan: ScalingPlan) -> list[Run | None]:
        return [Run(self.home / name) if is_run(self.home / name) else None for name in self.run_names(plan)]

    def history(self) -> ScalingHistory:
        """What its process told last."""
        return history_of(self.new_path if self.new_path.exists() else self.record_path, ScalingHistory)

    def progress(self) -> ScalingProgress:
        """Its state now. Raises: UserError, as `plan`."""
        if not self.exists():
            return ScalingProgress("none", (), NOTHING, "")
        plan = self.plan()
        running = self.is_running()
        named = zip(self.run_names(plan), self.runs(plan), strict=True)
        sizes = tuple(_size_progress(name, number, run) for number, (name, run) in enumerate(named, 1))
        history = self.history()
        if all(size.phase == "finished" for size in sizes):
            return ScalingProgress("finished", sizes, NOTHING, "")
        if running:
            return ScalingProgress("running", sizes, history.doing, "")
        return ScalingProgress("stopped", sizes, NOTHING, history.problem)

    def work(self, request: bytes, write: Write, poll: Callable[[], None]) -> str:
        """Train every size to its end; the run in training is stopped and saved where the end is asked for.

        Raises:
            UserError: if a run cannot be made or trained, with the reason.
        """
        self._write, self._poll, self._told, self._words = write, poll, 0.0, ""
        plan = self.plan()
        for at, name in enumerate(self.run_names(plan)):
            self._train(self.runs(plan)[at] or self._make(plan, at, name))
        return ""

    def _tell(self, words: str, share: float = 0.0) -> None:
        """Write what is done now; of mere progress, not every share."""
        now = time.monotonic()
        if words != self._words or now - self._told > SECONDS_BETWEEN_WRITES:
            self._words, self._told = words, now
            self._write(Doing(words, share))

    def _make(self, plan: ScalingPlan, at: int, name: str) -> Run:
        """Prepare the run of a size. Whatever is raised meanwhile, nothing of it is left.

        Raises:
            UserError: if another run has its name, among other reasons.
        """
        if reason := self.others(plan).get(name):
            raise UserError(f"{name} is not the run of this experiment: {reason}; rename it.")
        self._tell(f"{name}: timing a step on this machine")
        every = evaluation_interval(plan, at, self.home, self._poll)

        def prepared(progress: PrepareProgress) -> None:
            self._poll()
            self._tell(f"{name}: {progress.words}", progress.fraction)

        run = prepare_run(plan.request(at, name, self.home, every), prepared)
        self._tell("")
        return run

    def _train(self, run: Run) -> None:
        """Train a run to its end, from its last checkpoint if it has begun."""
        started_at: int | None = None
        while True:
            try:
                self._poll()
            except StopRequestedError:
                stop_run(run)
                raise
            phase, step = run.phase(), run.status().step
            if not is_run(run.path):  # looked at last: what is read of a run that goes meanwhile is of none
                raise UserError(f"{run.name} was deleted; when the experiment is resumed, it is trained anew.")
            if phase == "finished":
                return
            if phase == "failed":
                raise UserError(f"{run.name} failed at step {step}: {run.status().message}")
            if phase in ACTIVE or phase == "not answering":
                time.sleep(POLL_SECONDS)
                continue
            if started_at is not None and phase == "stopped":
                raise UserError(f"{run.name} was stopped at step {step}; when the experiment is resumed, it is, too.")
            if started_at == step:
                raise UserError(f"The trainer of {run.name} died twice at step {step}; its log is {run.log_path}.")
            started_at = step
            start_trainer(run)

    def delete(self) -> None:
        """Stop it, and delete its runs and its folder; where its plan is damaged, its folder alone.

        Raises:
            UserError: if it does not stop, or one of its runs cannot be deleted now, with the reason; no run is deleted then.
        """
        with contextlib.suppress(DamagedFileError):
            self.plan()
        super().delete()

    def delete_result(self) -> None:
        try:
            runs = [run for run in self.runs(self.plan()) if run is not None]
        except DamagedFileError:
            return
        for run in runs:
            stop_run(run)
        delete_runs(runs)


def experiment_names(home: Path | None = None) -> list[str]:
    """Names of the experiments in the folder of runs, the newest first, without those whose plan cannot be read."""
    made = {}
    for path in scaling_folder((home or home_of_runs()).absolute()).glob("*/plan.json"):
        with contextlib.suppress(UserError):
            experiment = ScalingExperiment(path.parent.name, path.parents[2])
            made[experiment.name] = experiment.plan().created
    return sorted(made, key=lambda name: made[name], reverse=True)


def stop_run(run: Run) -> None:
    """Stop a run that is being trained, and wait for it. Raises UserError if it has not stopped after `job.STOP_SECONDS`."""
    if run.is_alive():
        with contextlib.suppress(UserError):  # it ended just now
            run.send_command("stop")
    give_up = time.monotonic() + job.STOP_SECONDS
    while run.phase() in ACTIVE or trainer_lock_is_held(run.lock_path):
        if time.monotonic() > give_up:
            raise UserError(f"The trainer of {run.name} has not stopped within {job.STOP_SECONDS:.0f} s; it may still do so.")
        time.sleep(POLL_SECONDS)


def _size_progress(name: str, number: int, run: Run | None) -> SizeProgress:
    if run is None:
        return SizeProgress(name, number, None, "waiting", 0.0, 0.0)
    status = run.status()
    return SizeProgress(name, number, run, run.phase_of(status), fraction_done(run.config, status), status.seconds)


def start_scaling(experiment: ScalingExperiment, plan: ScalingPlan | None = None) -> None:
    """Start its process, and return when that owns the experiment. With a `plan`, a new experiment is made of it first.

    The process belongs to no terminal and outlives this one. Where one runs already, in another lab, nothing happens.

    Raises:
        UserError: what `ScalingExperiment.create` raises with a plan, and `ScalingExperiment.plan` without; if the process ends
            at once, with the reason.
    """
    if plan is not None:
        experiment.create(plan)
    else:
        experiment.plan()
    try:
        if not experiment.is_running():
            experiment.start()
    except UserError:
        if not experiment.is_running():  # else another lab was quicker
            raise
