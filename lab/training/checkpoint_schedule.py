"""What is kept of a run, and when: checkpoints in intervals, the best weights, snapshots. A full disk is waited for."""

import time
from collections.abc import Callable

from lab.runs import weights_file
from lab.runs.weights_file import NotFiniteError
from lab.training import checkpoint
from lab.training.rollback import Rollback
from lab.training.run_length import RunLength
from lab.training.run_logs import RunLogs
from lab.training.training_setup import TrainingSetup
from lab.training.weight_average import WeightAverage

SAVE_SECONDS = 15.0
"""Time between checkpoints: what a kill -9 may cost."""
SAVE_SHARE = 0.05
"""Share of the time that saving may take; a model whose checkpoint takes long is saved less often."""


class CheckpointSchedule:
    """Saver of a run's weights. Where they are NaN or infinite nothing is written, and training is rolled back."""

    def __init__(
        self, setup: TrainingSetup, average: WeightAverage, rollback: Rollback, logs: RunLogs, length: RunLength
    ) -> None:
        self._run, self._trained, self._state = setup.run, setup.trained, setup.state
        self._average, self._rollback, self._logs, self._length = average, rollback, logs, length
        self._tenths = length.tenths_done()
        self._saved_at = time.monotonic()
        self._took = 0.0

    def is_saved(self) -> bool:
        """True if the last checkpoint is of the present step."""
        return self._logs.saved_step == self._state.step

    def is_due(self, step: int) -> bool:
        """True after the first evaluation, and then in intervals, but not amid bad steps."""
        interval = max(SAVE_SECONDS, self._took / SAVE_SHARE)
        since = time.monotonic() - self._saved_at
        return step == 0 or (since > interval and not self._state.spike_detector.bad)

    def save(self) -> None:
        self.save_silently()
        self._logs.event("checkpoint")

    def save_silently(self) -> None:
        """Save a checkpoint; where the weights are NaN or infinite, of the state that was rolled back to."""
        if not self._write("save a checkpoint", self._save):
            self._logs.write("save a checkpoint", self._save)

    def save_if_best(self, step: int, val_loss: float | None) -> bool:
        """Save the weights that were evaluated, the average where there is one, if their loss is the lowest so far. False where
        it is not, which counts towards an early end, or they are NaN or infinite. Initial weights are never the best."""
        state = self._state
        if step == 0:
            return False
        if val_loss is None or (state.best_val_loss is not None and val_loss >= state.best_val_loss):
            state.evals_without_improvement += 1
            return False
        with self._average.shown():
            if not self._write(
                "keep the best weights", lambda: weights_file.save_best(self._run, self._trained.model, step, val_loss)
            ):
                return False
        state.best_val_loss, state.best_step, state.evals_without_improvement = val_loss, step, 0
        self._logs.event("best")
        return True

    def save_snapshot_if_due(self, step: int, *, over: bool) -> None:
        """Keep a snapshot at the start, at powers of two in the first tenth of the run, where most happens, at every tenth, and
        at the end. To be called once after each step."""
        before, self._tenths = self._tenths, self._length.tenths_done()
        if step == 0 or over or self._tenths > before or (self._tenths == 0 and step & (step - 1) == 0):
            self._write("keep a snapshot", lambda: weights_file.save_snapshot(self._run, self._trained.model, step))

    def _write(self, what: str, action: Callable[[], None]) -> bool:
        try:
            self._logs.write(what, action)
        except NotFiniteError as error:
            self._rollback.roll_back(f"{error} held NaN or infinity")
            return False
        return True

    def _save(self) -> None:
        started = time.monotonic()
        state = self._state
        state.seconds, state.step_seconds = self._length.clock.seconds(), self._length.throughput.step_seconds
        state.rollback_step, state.rollback_losses, tensors = self._rollback.to_save()
        self._logs.sync()
        checkpoint.save_checkpoint(self._run, self._trained.model, self._trained.optimizer, state, tensors)
        self._logs.saved_step = state.step
        self._saved_at = time.monotonic()
        self._took = self._saved_at - started
