"""State of a training run beside weights and optimizer state: step, time, best evaluation, spikes, rollbacks.

It is stored as JSON in the checkpoint, under the names given by `rename`. The spike detector finds bad steps, whose updates must
not be applied.
"""

import math
from statistics import fmean, pstdev
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from lab.core.limits import LIMITS
from lab.runs.run_schema import Metric, PartUpdate
from models.config import AttentionKernel, Precision

WINDOW = 100
"""Losses of ordinary steps that a new loss is compared with."""
MIN_LOSSES = 20
"""With fewer losses to compare with, only `MAX_UNIFORM_RATIO` counts."""
DEVIATIONS = 7.0
"""Standard deviations above the mean, the threshold of OLMo 2's spike score (Team OLMo 2025, "2 OLMo 2 Furious")."""
MIN_JUMP = 1.0
"""Least height of a spike above the mean, in nats: the losses of a model that has memorized its text hardly vary."""
MAX_UNIFORM_RATIO = 2.0
"""A loss above so many times ln V, that of the uniform baseline, is a spike whatever came before."""


class SpikeDetector(msgspec.Struct):
    """Recent losses, by which the next one is judged. Part of a checkpoint, so that a resumed run judges as it would have.

    A step is bad if its loss or gradient norm is NaN or infinite, or if its loss is a spike: more than `DEVIATIONS` standard
    deviations and `MIN_JUMP` nats above the mean of the last `WINDOW` ordinary losses. A large gradient by itself is no reason:
    clipping bounds what it does, and in ordinary training its norm now and then is many times the usual one.

    Spikes count among the ordinary losses as soon as an ordinary step has followed. So an odd passage of the text is skipped once
    or twice, not for ever: it widens the spread that the next loss is compared with.
    """

    losses: list[float] = []
    """The last `WINDOW` ones."""
    held: list[float] = []
    """Losses of the bad steps since the last good one, not among `losses` yet."""
    bad: int = 0
    """Bad steps in a row up to now."""

    def is_bad(self, loss: float, grad_norm: float, uniform_loss: float) -> bool:
        """Judge one step, and remember its loss. `uniform_loss` is `ModelAsTrained.loss_of_uniform`."""
        finite = math.isfinite(loss) and math.isfinite(grad_norm)
        if finite and not self._is_spike(loss, uniform_loss):
            self.losses = [*self.losses, *self.held, loss][-WINDOW:]
            self.held, self.bad = [], 0
            return False
        self.bad += 1
        if finite:
            self.held.append(loss)
        return True

    def _is_spike(self, loss: float, uniform_loss: float) -> bool:
        if loss > MAX_UNIFORM_RATIO * uniform_loss:
            return True
        if len(self.losses) < MIN_LOSSES:
            return False
        mean = fmean(self.losses)
        return loss > mean + MIN_JUMP and loss > mean + DEVIATIONS * pstdev(self.losses, mean)


STORED_NAMES = {
    "evals_without_improvement": "no_better",
    "pending_updates": "pending_parts",
    "micro_batches": "parts",
    "spike_detector": "watch",
    "lr_factor": "rate_factor",
    "rolled_back_at": "went_back_at",
    "rollback_step": "good_step",
    "rollback_losses": "good_losses",
    "config_checksum": "settings",
}
"""Names in the file where they differ, as in all checkpoints so far."""


class LossScale(msgspec.Struct, frozen=True):
    """State of the loss scaling of a run in fp16, and the steps that it has skipped."""

    scale: Annotated[float, Meta(gt=0, le=3.5e38)]
    growth_tracker: Annotated[int, Meta(ge=0, le=1 << 31)] = 0
    """Steps without an overflow since the scale has changed."""
    skipped: Annotated[int, Meta(ge=0, le=int(LIMITS["steps"].most))] = 0
    """Steps whose update was not applied, since their gradients overflowed in fp16."""
    is_found: bool = False
    """True once an update was applied: the scale suits the run."""


class TrainerState(msgspec.Struct, kw_only=True, rename=STORED_NAMES):
    """State of a training run after `step` steps."""

    step: Annotated[int, Meta(ge=0, le=int(LIMITS["steps"].most))] = 0
    seconds: Annotated[float, Meta(ge=0)] = 0.0
    step_seconds: Annotated[float, Meta(ge=0)] = 0.0
    """Duration of the latest step, by which a run limited by minutes predicts the end of the next."""
    precision: Precision
    """Chosen when the run began, as are `attention` and `threads`, so that a resumed run computes in the same arithmetic."""
    attention: AttentionKernel = "auto"
    threads: Annotated[int, Meta(ge=0, le=int(LIMITS["threads"].most))] = 0
    """The order in which numbers are added depends on it; 0 in runs from before it was kept."""
    threads_now: Annotated[int, Meta(ge=0, le=int(LIMITS["threads"].most))] = 0
    """Threads in use: fewer than `threads` while other processes keep the cores busy."""
    computed: str = ""
    """Precision, attention kernel and threads, with the reason, in words."""
    best_val_loss: float | None = None
    best_step: int | None = None
    evals_without_improvement: int = 0
    """Evaluations in a row without a new lowest validation loss, for early stopping."""
    pending: Metric | None = None
    """The step's line of metrics.jsonl while its evaluation is still due."""
    pending_updates: list[PartUpdate] = []
    """Gradient norms and update ratios of that step, for its line of insights.jsonl."""
    micro_batches: Annotated[int, Meta(**LIMITS["accumulate"].meta())] | None = None
    """Micro-batches of a step, where memory made more of them necessary than were chosen."""
    spike_detector: SpikeDetector = msgspec.field(default_factory=SpikeDetector)
    lr_factor: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """Factor on the schedule's learning rate: halved at each rollback."""
    halvings: int = 0
    """Rollbacks in a row without enough good steps in between."""
    rolled_back_at: int | None = None
    """Step of the last rollback."""
    rollback_step: int | None = None
    """Step of the rollback state that the file holds beside the present one, if it holds one."""
    rollback_losses: list[float] = []
    config_checksum: str = ""
    """Checksum of config.json when this was saved; empty in checkpoints made before it was kept."""

    compiled: bool | UnsetType = UNSET
    """True if its steps are computed by compiled code, chosen when the run began; unset in other runs, as is `loss_scale`."""
    loss_scale: LossScale | UnsetType = UNSET
    """In fp16."""
    seconds_before: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    """In a run by minutes: those of `seconds` that had passed since it was asked for when its training began."""
    begun_on: str | UnsetType = UNSET
    """Name of the card or processor that `computed` is about; unset in runs from before it was kept."""
