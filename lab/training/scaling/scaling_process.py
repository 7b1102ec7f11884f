"""Work of a scaling experiment's process: it trains the sizes, one after the other.

Each size is an ordinary run, trained by the ordinary trainer in a process of its own. This one makes the runs, starts their
trainers and waits; it loads no torch. Stopped or killed at any moment, it goes on where the runs are when it is started again.
"""

import time
from collections.abc import Callable

from lab.core.errors import UserError
from lab.planning.prepare_run import prepare_run
from lab.planning.prepare_text import PrepareProgress
from lab.runs.find_runs import is_run
from lab.runs.run_folder import ACTIVE, Run
from lab.training.command_inbox import StopRequestedError
from lab.training.job_record import Write
from lab.training.scaling.scaling_experiment import POLL_SECONDS, Doing, ScalingExperiment, stop_run
from lab.training.scaling.scaling_plan import ScalingPlan, evaluation_interval
from lab.training.start_trainer import start_trainer

SECONDS_BETWEEN_WRITES = 0.5


class ScalingJob(ScalingExperiment):
    """An experiment whose process this is."""

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
