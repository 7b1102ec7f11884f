"""How far a run is: by steps or by minutes, until its end or an early one."""

import math

from lab.runs.run_schema import TrainConfig
from lab.training.trainer_state import TrainerState
from lab.training.training_clock import Clock, Speed
from models.lr_schedule import schedule_factor


def rate_of_next(train: TrainConfig, state: TrainerState, step: int, seconds: float, step_seconds: float) -> float:
    """Learning rate of the step after `step` steps and `seconds` of training, which will take about `step_seconds`.

    The schedule is asked for the moment at which that step is done.
    """
    progress = (step + 1) / train.steps if train.steps is not None else (seconds + step_seconds) / (60 * (train.minutes or 1.0))
    return train.lr * schedule_factor(train.schedule, progress, train.warmup, train.final_lr) * state.lr_factor


class RunLength:
    """Where a run stands between its beginning and its end."""

    def __init__(self, train: TrainConfig, state: TrainerState, clock: Clock, speed: Speed) -> None:
        self._train = train
        self._state = state
        self._clock = clock
        self._speed = speed
        self._tenths = math.floor(10 * self._done() + 1e-9)

    @property
    def rate(self) -> float:
        """Learning rate of the step about to be taken."""
        return rate_of_next(self._train, self._state, self._state.step, self._clock.seconds(), self._speed.step_seconds)

    def _limit(self) -> float:
        return (self._train.minutes or 0.0) * 60

    def is_over(self) -> bool:
        """Whether the run has reached its end."""
        steps = self._train.steps
        reached = self._state.step >= steps if steps is not None else self._clock.seconds() >= self._limit()
        return reached or self.is_stopped_early()

    def is_stopped_early(self) -> bool:
        """Whether the validation loss has not improved for as many evaluations as were asked for."""
        return self._train.patience is not None and self._state.evals_without_improvement >= self._train.patience

    def early_stop_in_words(self) -> str:
        """Why it has ended early; empty if it has not."""
        if not self.is_stopped_early():
            return ""
        best = f"; the best weights are those of step {self._state.best_step}" if self._state.best_step is not None else ""
        return f"Ended early: no better validation loss in {self._state.evals_without_improvement} evaluations in a row{best}."

    def _done(self) -> float:
        """How much of the run is done, 0 to 1."""
        steps = self._train.steps
        return min(1.0, self._state.step / steps if steps is not None else self._clock.seconds() / self._limit())

    def is_evaluated(self, step: int) -> bool:
        """Whether it is known beforehand that an evaluation follows after so many steps; one at the end of the minutes is not."""
        return step % self._train.eval_every == 0 or step == self._train.steps

    def is_snapshot(self, step: int, *, over: bool) -> bool:
        """At the start, at powers of two in the first tenth of the run, where most happens, at every tenth, and at the end.

        To be asked once after each step.
        """
        before, self._tenths = self._tenths, math.floor(10 * self._done() + 1e-9)
        return step == 0 or over or self._tenths > before or (self._tenths == 0 and step & (step - 1) == 0)
