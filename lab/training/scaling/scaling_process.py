"""Process that trains the sizes of a scaling experiment: `python -P -m lab.training.scaling.scaling_process FOLDER`.

Each size is an ordinary run, trained by the ordinary trainer in a process of its own. This one makes the runs, starts their
trainers and waits; it loads no torch. Stopped or killed at any moment, it goes on where the runs are when it is started again.
"""

import os
import sys
import time
import traceback
from pathlib import Path

import filelock
import msgspec

from lab.core.atomic_io import os_error_in_words, write_atomic
from lab.core.detached_process import lower_priority
from lab.core.errors import UserError, name_error
from lab.planning.preparation.prepare_text import PrepareProgress
from lab.planning.prepare_run import prepare_run
from lab.runs import trainer_commands
from lab.runs.find_runs import is_run
from lab.runs.run_folder import ACTIVE, Run
from lab.runs.run_locks import acquire_now, trainer_lock
from lab.training.command_inbox import CommandInbox, StopRequestedError, StopSignals
from lab.training.scaling.scaling_experiment import POLL_SECONDS, ScalingExperiment, ScalingStatus, stop_run
from lab.training.scaling.scaling_plan import ScalingPlan, evaluation_interval
from lab.training.start_trainer import start_trainer

NICENESS = 15
"""Priority below that of other runs' trainers. The trainers that it starts inherit it."""
SECONDS_BETWEEN_WRITES = 0.5


class ScalingProcess:
    """The work of one experiment, whose lock is held."""

    def __init__(self, experiment: ScalingExperiment, signals: StopSignals) -> None:
        self._experiment = experiment
        self._inbox = CommandInbox(experiment.control_path, signals)
        self._status = ScalingStatus(pid=os.getpid())
        self._written = 0.0

    def train_all(self) -> None:
        """Train every size to its end.

        Raises:
            StopRequestedError: at the command to stop or a signal; the run in training has been stopped and saved then.
            UserError: if a run cannot be made or trained, with the reason.
        """
        self.tell()
        plan = self._experiment.plan()
        for at, name in enumerate(self._experiment.run_names(plan)):
            self._train(self._experiment.runs(plan)[at] or self._make(plan, at, name))

    def tell(self, **changes: object) -> None:
        """Write changes of the status; of mere progress, not every one."""
        self._status = msgspec.structs.replace(self._status, **changes)
        now = time.monotonic()
        if set(changes) != {"done"} or now - self._written > SECONDS_BETWEEN_WRITES:
            self._written = now
            try:
                write_atomic(self._experiment.status_path, msgspec.json.encode(self._status) + b"\n")
            except OSError as error:
                raise os_error_in_words(error, f"write {self._experiment.status_path}") from error

    def _make(self, plan: ScalingPlan, at: int, name: str) -> Run:
        """Prepare the run of a size. Whatever is raised meanwhile, nothing of it is left.

        Raises:
            UserError: if another run has its name, among other reasons.
        """
        if reason := self._experiment.others(plan).get(name):
            raise UserError(f"{name} is not the run of this experiment: {reason}; rename it.")
        self.tell(doing=f"{name}: timing a step on this machine", done=0.0)
        every = evaluation_interval(plan, at, self._experiment.home, self._inbox.poll)
        run = prepare_run(plan.request(at, name, self._experiment.home, every), lambda progress: self._prepared(name, progress))
        self.tell(doing="", done=0.0)
        return run

    def _prepared(self, name: str, progress: PrepareProgress) -> None:
        self._inbox.poll()
        words = f"{name}: {progress.words}"
        if words == self._status.doing:
            self.tell(done=progress.fraction)
        else:
            self.tell(doing=words, done=progress.fraction)

    def _train(self, run: Run) -> None:
        """Train a run to its end, from its last checkpoint if it has begun."""
        started_at: int | None = None
        while True:
            try:
                self._inbox.poll()
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


def main(arguments: list[str] | None = None) -> int:
    """Train the experiment in the given folder. Returns the exit code: 0 done or stopped, 1 failed, 2 not begun."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1:
        return _log("usage: python -P -m lab.training.scaling.scaling_process FOLDER-OF-AN-EXPERIMENT", 2)
    signals = StopSignals()
    signals.install()
    experiment = ScalingExperiment.at(Path(arguments[0]))
    try:
        lock = trainer_lock(experiment.lock_path)
        acquire_now(lock)
    except filelock.Timeout:
        return _log(f"{experiment.name} is already being trained.", 2)
    except UserError as error:
        return _log(str(error), 2)
    try:
        return _work(experiment, signals)
    finally:
        lock.release()


def _work(experiment: ScalingExperiment, signals: StopSignals) -> int:
    lower_priority(NICENESS)
    trainer_commands.take(experiment.control_path)
    process = ScalingProcess(experiment, signals)
    problem = ""
    try:
        process.train_all()
    except StopRequestedError:
        pass
    except UserError as error:
        problem = str(error)
    except Exception as error:
        traceback.print_exc()
        problem = f"The experiment failed with an internal error ({name_error(error)}); see {experiment.log_path}."
    if problem:
        _log(problem, 1)
    try:
        process.tell(doing="", done=0.0, ended=True, problem=problem)
    except UserError as error:
        return _log(str(error), 1)
    return 1 if problem else 0


def _log(sentence: str, code: int) -> int:
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
