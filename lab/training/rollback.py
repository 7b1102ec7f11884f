"""Return of a training to an earlier state after bad steps, at half the learning rate."""

from collections.abc import Callable

import torch
from torch import Tensor

from lab.core.errors import UserError, is_out_of_memory
from lab.core.number_format import significant
from lab.planning.default_hyperparameters import describe_lowered_lr, lower_lr
from lab.runs.weights_file import MODEL_PREFIX, OPTIMIZER_PREFIX, tensors_under
from lab.training import checkpoint
from lab.training.checkpoint import ShardedState, load_optimizer, named_tensors, optimizer_tensors
from lab.training.trainer_state import SpikeDetector
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
            now = named_tensors(self._trained.model, optimizer_tensors(self._trained.model, self._trained.optimizer))
            kept = {name: value.detach().clone() for name, value in now.items()}
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
        state.spike_detector = SpikeDetector(list(losses))
        state.halvings, state.rolled_back_at, state.lr_factor = halvings, state.step, state.lr_factor / 2
        self._report(f"Rolled back from step {state.step} to the weights of step {step}, because {why}. {self.lr_message()}")

    @torch.no_grad()
    def _restore(self) -> tuple[int | None, list[float]]:
        if self._step is None:
            earlier = checkpoint.load_readable(self._run, self._trained.model, self._trained.optimizer, ("previous",))
            return (earlier[0].step, earlier[0].spike_detector.losses) if earlier else (None, [])
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
        return "" if factor == 1.0 or at is None else describe_lowered_lr(self._run.config, factor, at)

    def failure_message(self, what: str) -> str:
        """The reason for the failure, and a learning rate for a new run."""
        config = self._run.config
        lower = lower_lr(config, self._state.lr_factor)
        return (
            f"Training has failed: {what}. The learning rate of {config.train.lr:g} is too high; "
            f"start a new run with a lower one, such as {significant(lower, 2)} (--lr)."
        )
