"""State of a training run beside weights and optimizer state: step, time, best evaluation, spikes, rollbacks.

It is stored as JSON in the checkpoint, under the names given by `rename`.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from lab.core.limits import LIMITS
from lab.runs.run_schema import Metric, PartUpdate
from lab.training.spike_detector import SpikeDetector
from models.config import AttentionKernel, Precision

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


class TrainerState(msgspec.Struct, kw_only=True, rename=STORED_NAMES):
    """State of a training run after `step` optimizer steps."""

    step: Annotated[int, Meta(ge=0, le=int(LIMITS["steps"].most))] = 0
    seconds: Annotated[float, Meta(ge=0)] = 0.0
    step_seconds: Annotated[float, Meta(ge=0)] = 0.0
    """Duration of the latest step. In a run limited by minutes, the learning rate is that of the moment at which the next step is
    expected to be done."""
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
    """What that step changed, for its line of insights.jsonl."""
    micro_batches: Annotated[int, Meta(**LIMITS["accumulate"].meta(whole=True))] | None = None
    """Micro-batches of a step, where memory made them more than was asked for."""
    spike_detector: SpikeDetector = msgspec.field(default_factory=SpikeDetector)
    lr_factor: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """Factor on the schedule's learning rate: halved at each rollback."""
    halvings: int = 0
    """Rollbacks in a row without a stretch of good steps in between."""
    rolled_back_at: int | None = None
    """Step of the last rollback."""
    rollback_step: int | None = None
    """Step of the rollback state that the file holds beside the present one, if it holds one."""
    rollback_losses: list[float] = []
    config_checksum: str = ""
    """Checksum of config.json when this was saved; empty in checkpoints made before it was kept."""
