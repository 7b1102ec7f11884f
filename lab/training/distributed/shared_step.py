"""A rank's part of a training step: its windows of the batch, and its gradient and loss added to those of the others."""

from contextlib import AbstractContextManager, nullcontext

from torch.nn.parallel import DistributedDataParallel

from lab.core.errors import UserError
from lab.training.distributed.one_rank import LossFunction, OneRank
from lab.training.distributed.rank_group import RankGroup
from models.gpt import GPT


class SharedStep(OneRank):
    """One step at a time, the same on every rank but for the windows."""

    def __init__(self, group: RankGroup) -> None:
        self._group = group
        self.rank, self.count = group.environment.rank, group.environment.count
        self.local_count = group.environment.local_count
        self._parallel: DistributedDataParallel | None = None
        self.overlap = False
        """Add up gradients while the backward pass goes on, which is quicker; else after it, once no rank ran out of memory."""

    def rows(self, batch: int) -> slice:
        """This rank's windows of a batch: about as many on each, in order. Raises UserError if there are too few."""
        if batch < self.count:
            raise UserError(
                f"A batch of {batch} windows cannot be shared among {self.count} ranks; start fewer, or a run with a larger "
                "--batch."
            )
        return slice(batch * self.rank // self.count, batch * (self.rank + 1) // self.count)

    def loss_function(self, model: GPT) -> LossFunction:
        """The loss, through DistributedDataParallel. All ranks call this together."""
        self._parallel = self._group.parallel(model, model.loss)
        return self._parallel

    def accumulating(self, last: bool) -> AbstractContextManager[None]:
        """Context of a micro-batch, in which only the last may communicate."""
        assert self._parallel is not None
        return nullcontext() if last and self.overlap else self._parallel.no_sync()

    def total(self, loss: float | None) -> float | None:
        """Sum of the ranks' parts of the loss, whose gradients then are added up; None if some rank ran out of memory.

        Raises:
            UserError: if this rank did, while the others wait for its gradient.
        """
        assert self._parallel is not None
        if loss is None and self.overlap:
            raise UserError(
                "There was not enough memory for a step, though there had been for those before; close other programs that use "
                "it, and resume."
            )
        total, out_of_memory = self._group.sum([loss or 0.0, float(loss is None)])
        if out_of_memory:
            return None
        if not self.overlap:
            self._group.add_up_gradients(self._parallel.parameters())
        return total
