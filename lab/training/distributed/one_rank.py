"""Training in one process: the same interface as `lab.training.distributed.rank_roles`, with nobody to tell."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.optim import Optimizer

from lab.core.errors import UserError
from lab.planning.device import choose_device
from lab.training.trainer_state import TrainerState
from models.gpt import GPT

LossFunction = Callable[[Tensor, Tensor], Tensor]


class RankLostError(UserError):
    """A rank died, failed or fell silent, so that the others cannot go on. `can_save` is False if rank 0 lacks a part."""

    def __init__(self, sentence: str, can_save: bool = True) -> None:
        super().__init__(sentence)
        self.can_save = can_save


class OneRank:
    """The ranks of a training, as its loop sees them: here one process that computes everything."""

    rank = 0
    count = 1
    local_count = 1

    def device(self, setting: str) -> torch.device:
        device = choose_device(setting)
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device)  # whose generator draws the dropout masks
        return device

    def rows(self, batch: int) -> slice:
        """The windows of a batch that this rank computes."""
        return slice(0, batch)

    def shard(self, optimizer: Optimizer, model: GPT) -> Optimizer:
        """The same optimizer, or one of which each rank has a part."""
        return optimizer

    def loss_function(self, model: GPT) -> LossFunction:
        """The loss of ids and targets, whose backward pass adds up the gradients of all ranks."""
        return model.loss

    def share_state(self, model: GPT, optimizer: Optimizer, state: TrainerState) -> None:
        """Give weights and optimizer state, just loaded, to the others."""

    def begin_step(self, step: int, micro_batches: int, lr: float) -> None:
        """Have the others begin the step, too."""

    def accumulating(self, last: bool) -> AbstractContextManager[None]:
        """Context of a micro-batch; `last` for the last of a step."""
        return nullcontext()

    def total(self, loss: float | None) -> float | None:
        """The loss of the whole batch from this rank's part of it; None if some rank ran out of memory."""
        return loss

    def explain(self, error: BaseException) -> None:
        """Raise RankLostError if the error comes from the loss of a rank."""

    def update(self, apply: bool) -> None:
        """Have the others update their weights, too, or leave out the step."""

    def make_retryable(self) -> None:
        """Compute the next steps so that they can be tried again, since more memory is taken from now on."""

    def lost(self) -> str:
        """A sentence if a rank is lost."""
        return ""
