"""Saving schedule: checkpoints in intervals, best weights and snapshots, waiting while the disk is full; and the return after bad
steps to an earlier, good state, at half the learning rate."""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from lab.core.errors import UserError, is_out_of_memory
from lab.core.number_format import significant
from lab.planning.default_hyperparameters import lower_lr
from lab.runs import weights_file
from lab.runs.weights_file import MODEL_PREFIX, OPTIMIZER_PREFIX, NotFiniteError, tensors_under
from lab.training import checkpoint
from lab.training.checkpoint import ShardedState, load_optimizer, optimizer_tensors
from lab.training.run_length import Clock, RunLength, Throughput
from lab.training.run_logs import RunLogs
from lab.training.training_setup import TrainingSetup

MAX_HALVINGS = 6
"""Rollbacks in a row, each to half the learning rate, after which training fails."""
RECENT_STEPS = 100
"""Steps after a rollback within which the next one counts as in a row with it."""
KEEP_STATE_EVERY = 50
"""Steps between the states that are kept. Each is a copy of weights and optimizer state, made in milliseconds."""


class Rollback:
    """A good state of training in memory, 12 bytes per parameter with AdamW, restored after bad steps.

    A state is good when the loss of the next batch was ordinary with it: one that an ordinary step led to may itself be ruined by
    that step. After a rollback no new state is kept for `RECENT_STEPS` steps.
    """

    def __init__(self, setup: TrainingSetup, report: Callable[[str], None]) -> None:
        """Take over the good state of the checkpoint, if it held one; `report` is called with a sentence at each rollback."""
        self._run, self._trained, self._state = setup.run, setup.trained, setup.state
        self._tensors = setup.loaded.rollback_tensors if setup.loaded else {}
        self._step, self._losses = self._state.rollback_step, self._state.rollback_losses
        self._report = report
        self._most_kept = 0
        """Tensors of the largest state that this process has kept."""
        self._is_short = False
        """True after a copy for which there was no memory."""

    def keep_if_due(self, losses: list[float]) -> bool:
        """Keep the present state, before an ordinary step is applied; `losses` are those by which the step was judged.

        Returns True if more is kept than ever before, as it is once the optimizer has a state: the next steps have less memory.
        """
        step = self._state.step
        if isinstance(self._trained.optimizer, ShardedState):
            return False  # a rank has no room for all of it, so that the checkpoint before the last is what is restored
        is_wanted = self._step is None and not self._is_short
        if self._is_recent() or not (is_wanted or step % KEEP_STATE_EVERY == 0):
            return False
        self._tensors, self._step = {}, None
        try:
            kept = {MODEL_PREFIX + name: weight.detach().clone() for name, weight in self._trained.model.state_dict().items()}
            moments = optimizer_tensors(self._trained.model, self._trained.optimizer)
            kept |= {OPTIMIZER_PREFIX + name: value.clone() for name, value in moments.items()}
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._is_short = True
            return False  # without room for it, the checkpoint before the last is what is restored
        self._tensors, self._step, self._losses, self._is_short = kept, step, list(losses), False
        is_more, self._most_kept = len(kept) > self._most_kept, max(len(kept), self._most_kept)
        return is_more

    def roll_back(self, why: str) -> None:
        """Restore the good state into model and optimizer, halve the learning rate, and report it in a sentence.

        Raises:
            UserError: if there is no such state, or halving has not helped so far.
        """
        state = self._state
        halvings = state.halvings + 1 if self._is_recent() else 1
        if halvings > MAX_HALVINGS:
            halved = f"though the learning rate was halved {MAX_HALVINGS} times"
            raise UserError(self.failure_message(f"{why}, up to step {state.step}, {halved}"))
        step, losses = self._restore()
        if step is None:
            raise UserError(self.failure_message(f"{why}, up to step {state.step}, and there is no earlier state to restore"))
        state.roll_back(halvings, losses)
        self._report(f"Rolled back from step {state.step} to the weights of step {step}, because {why}. {self.lr_message()}")

    @torch.no_grad()
    def _restore(self) -> tuple[int | None, list[float]]:
        if self._step is None:
            earlier = checkpoint.load_previous_checkpoint(self._run, self._trained.model, self._trained.optimizer)
            return (earlier.step, earlier.spike_detector.losses) if earlier else (None, [])
        self._trained.model.load_state_dict(tensors_under(MODEL_PREFIX, self._tensors))
        own = {name: value.clone() for name, value in tensors_under(OPTIMIZER_PREFIX, self._tensors).items()}
        load_optimizer(self._trained.model, self._trained.optimizer, own)
        return self._step, self._losses

    def to_save(self) -> tuple[int | None, list[float], dict[str, Tensor]]:
        """Step, losses and tensors of the good state, if a checkpoint is to hold them: amid bad steps or after a rollback."""
        if self._state.spike_detector.bad > 0 or self._is_recent():
            return self._step, self._losses, self._tensors
        return None, [], {}

    def _is_recent(self) -> bool:
        at = self._state.rolled_back_at
        return at is not None and self._state.step - at < RECENT_STEPS

    def lr_message(self) -> str:
        """A sentence about the learning rate after rollbacks; empty without any."""
        factor, at = self._state.lr_factor, self._state.rolled_back_at
        if factor == 1.0:
            return ""
        peak = significant(self._run.config.train.lr * factor, 2)
        return f"Since step {at} the learning rate is 1/{round(1 / factor)} of the chosen one, {peak} at its peak."

    def failure_message(self, what: str) -> str:
        """The reason for the failure, and a learning rate for a new run."""
        config = self._run.config
        lower = lower_lr(config, self._state.lr_factor)
        return (
            f"Training has failed: {what}. The learning rate of {config.train.lr:g} is too high; "
            f"start a new run with a lower one, such as {significant(lower, 2)} (--lr)."
        )


SAVE_SECONDS = 15.0
"""Time between checkpoints: what a kill -9 may cost."""
SAVE_SHARE = 0.05
"""Share of the time that saving may take; a model whose checkpoint takes long is saved less often."""


class SnapshotSchedule:
    """Snapshots at the start, at powers of two in the first tenth of the run, where most happens, at every tenth, and the end."""

    def __init__(self, length: RunLength) -> None:
        self._length = length
        self._tenths = self._tenths_done()

    def is_due(self, step: int, *, over: bool) -> bool:
        """True if a snapshot is due; to be called once after each step."""
        before, self._tenths = self._tenths, self._tenths_done()
        return step == 0 or over or self._tenths > before or (self._tenths == 0 and step & (step - 1) == 0)

    def _tenths_done(self) -> int:
        return math.floor(10 * self._length.progress() + 1e-9)


class CheckpointSchedule:
    """Saver of a run's weights. Where they are NaN or infinite nothing is written, and training is rolled back."""

    def __init__(self, setup: TrainingSetup, rollback: Rollback, logs: RunLogs, clock: Clock, throughput: Throughput) -> None:
        self._run, self._trained, self._state = setup.run, setup.trained, setup.state
        self._rollback = rollback
        self._logs = logs
        self._clock = clock
        self._throughput = throughput
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

    def save_best(self, step: int, val_loss: float) -> bool:
        """Save the best weights; False where they are NaN or infinite."""
        return self._write(
            "keep the best weights", lambda: weights_file.save_best(self._run, self._trained.model, step, val_loss)
        )

    def save_snapshot(self, step: int) -> None:
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
        step, losses, tensors = self._rollback.to_save()
        self._state.prepare_save(self._clock.seconds(), self._throughput.step_seconds, step, losses)
        self._logs.sync()
        checkpoint.save_checkpoint(self._run, self._trained.model, self._trained.optimizer, self._state, tensors)
        self._logs.saved_step = self._state.step
        self._saved_at = time.monotonic()
        self._took = self._saved_at - started
