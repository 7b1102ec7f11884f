"""Length of a run, by steps or minutes: its clock, its speed, its progress, its end, and the learning rate of the next step."""

import math
import time

from msgspec import UNSET

from lab.runs.run_schema import RunConfig, TrainConfig
from lab.training.trainer_state import TrainerState
from models.learning_rate import schedule_factor

AVERAGE_SECONDS = 2.0
"""Time constant of the average speed."""


class Clock:
    """Seconds spent training while it runs: evaluations and saving included, unless the loop stops it for them; pauses not.

    Of a run by minutes, what was spent between the order and the trainer's start is counted, too.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._before = seconds
        self._since: float | None = time.monotonic()

    @property
    def is_running(self) -> bool:
        return self._since is not None

    def seconds(self) -> float:
        return self._before + (0.0 if self._since is None else time.monotonic() - self._since)

    def stop(self) -> None:
        self._before, self._since = self.seconds(), None

    def start(self) -> None:
        """Start again after `stop`; a running clock is not affected."""
        if self._since is None:
            self._since = time.monotonic()


class Throughput:
    """Exponential moving average of tokens per second, over steps alone."""

    def __init__(self, step_seconds: float = 0.0) -> None:
        """`step_seconds` is the duration of the latest step before, in a run that is resumed."""
        self.step_seconds = step_seconds
        """Duration of the latest step."""
        self._tokens = 0.0
        self._seconds = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        kept = math.exp(-seconds / AVERAGE_SECONDS)
        self._tokens = self._tokens * kept + tokens
        self._seconds = self._seconds * kept + seconds
        self.step_seconds = seconds

    def per_second(self) -> float:
        return self._tokens / self._seconds if self._seconds else 0.0


def is_evaluation_due(train: TrainConfig, step: int) -> bool:
    """True if an evaluation follows this step. The one at the end of a run limited by minutes is not known beforehand."""
    return step % train.eval_every == 0 or step == train.steps


MOST_STEPS, MANY_EPOCHS = 1.5, 3.0
"""Steps over those that were planned after which a run by minutes ends, if the plan reads its text so many times: planned on a
busy machine, a quick one would memorize the text with too large a model and too little dropout."""


def most_steps(config: RunConfig) -> float:
    """Steps after which a run by minutes ends though there is time; infinite unless they were planned, with many epochs."""
    planned = config.expected.steps if config.expected is not None else 0
    epochs = planned * config.train.batch * config.model.context / max(1, config.data.split)
    return MOST_STEPS * planned if epochs >= MANY_EPOCHS and config.train.steps is None else math.inf


def lr_of_next_step(config: RunConfig, state: TrainerState, step: int, seconds: float, step_seconds: float) -> float:
    """Learning rate of the step after `step` steps and `seconds` of training, which will take about `step_seconds`.

    The schedule is evaluated at the end of that step.
    """
    train = config.train
    before = 0.0 if state.seconds_before is UNSET else state.seconds_before  # the warm-up begins with the first step
    progress = max((seconds - before + step_seconds) / (60 * (train.minutes or 1.0) - before), (step + 1) / most_steps(config))
    progress = progress if train.steps is None else (step + 1) / train.steps
    return train.lr * schedule_factor(train.schedule, progress, train.warmup, train.final_lr) * state.lr_factor


class RunLength:
    """Progress of a run towards its end."""

    def __init__(self, config: RunConfig, state: TrainerState, clock: Clock, throughput: Throughput) -> None:
        self._config, self._train = config, config.train
        self._state, self.clock, self.throughput = state, clock, throughput
        self._limit = (self._train.minutes or 0.0) * 60
        self._most_steps = most_steps(config)

    @property
    def lr(self) -> float:
        """Learning rate of the step about to be taken."""
        return lr_of_next_step(self._config, self._state, self._state.step, self.clock.seconds(), self.throughput.step_seconds)

    def is_over(self) -> bool:
        """True at the last step, at the time limit, and after early stopping."""
        steps = self._train.steps
        reached = self._state.step >= steps if steps is not None else self.clock.seconds() >= self._limit
        return reached or self._state.step >= self._most_steps or bool(self.early_stop_message())

    def early_stop_message(self) -> str:
        """The reason for an end since the validation loss has not improved for the run's patience; empty if there is none."""
        patience, state = self._train.patience, self._state
        if patience is None or state.evals_without_improvement < patience:
            return ""
        best = f"; the best weights are those of step {state.best_step}" if state.best_step is not None else ""
        return f"Ended early: no better validation loss in {state.evals_without_improvement} evaluations in a row{best}."

    def end_message(self) -> str:
        """The reason why a run ended before its steps or minutes; empty if it did not."""
        early = self.early_stop_message()
        if early or self._state.step < self._most_steps:
            return early
        return (
            f"Ended after {MOST_STEPS:g} times the planned steps: the machine was quicker than when it was planned, and more "
            "steps would memorize the text."
        )

    def tenths_done(self) -> int:
        """Tenths of the run that are done, 0 to 10."""
        steps = self._train.steps
        done = self._state.step / steps if steps is not None else self.clock.seconds() / self._limit
        return math.floor(10 * min(1.0, max(done, self._state.step / self._most_steps)) + 1e-9)
