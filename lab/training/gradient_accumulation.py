"""Gradient accumulation: one step's gradient, in as many micro-batches as memory needs."""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch

from lab.core.errors import UserError
from lab.core.out_of_memory import free_memory, is_out_of_memory
from lab.training.training_setup import TrainingSetup


class GradientAccumulator:
    """Loss and gradient of a step's whole batch, summed up over micro-batches of about the same size.

    Each micro-batch's mean loss is weighted by its fraction of the windows, so that the sum is the batch's gradient but for
    rounding. Dropout masks depend on the number of micro-batches: they are drawn one micro-batch after the other.
    """

    def __init__(self, setup: TrainingSetup, autocast: Callable[[], AbstractContextManager[None]]) -> None:
        """`autocast` gives the context of a forward pass."""
        train = setup.run.config.train
        self.micro_batches = setup.state.micro_batches or train.accumulate
        """Micro-batches of a step."""
        self._model = setup.model
        self._batches = setup.batches
        self._seed = train.seed
        self._device = setup.device
        self._autocast = autocast

    def compute(self, step: int) -> float:
        """Compute the gradient of a step into the weights, and return the loss in nats per token.

        Where memory does not suffice, `micro_batches` is doubled, up to one window each, and the step begun anew.

        Raises:
            UserError: if memory does not suffice for one window.
        """
        while True:
            try:
                return self._compute(step)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Only here the exception, and with it what the attempt had allocated, is gone.
            self._model.zero_grad(set_to_none=True)
            free_memory(self._device)
            if self.micro_batches >= self._batches.batch:
                raise UserError(
                    f"There is not enough memory for even one window of {self._batches.context} tokens; "
                    "start a new run with a smaller --context or a smaller model."
                )
            self.micro_batches = min(2 * self.micro_batches, self._batches.batch)

    def _compute(self, step: int) -> float:
        ids, targets = (torch.from_numpy(part).to(self._device) for part in self._batches.at(step))
        if self._model.config.dropout:
            seed_dropout(self._device, dropout_seed(self._seed, step))
        self._model.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self._device)
        parts = ids.tensor_split(self.micro_batches), targets.tensor_split(self.micro_batches)
        for part_ids, part_targets in zip(*parts, strict=True):
            share = len(part_ids) / len(ids)
            with self._autocast():
                loss = self._model.loss(part_ids, part_targets)
            (loss if share == 1.0 else loss * share).backward()  # type: ignore[no-untyped-call]
            total += loss.detach() * share
        return float(total)

    def split_message(self, step: int) -> str:
        """A sentence about the micro-batches that memory made necessary at this step."""
        windows = -(-self._batches.batch // self.micro_batches)  # of the largest micro-batch
        return (
            f"A step of {self._batches.batch} windows did not fit into memory; since step {step} it is computed in "
            f"{self.micro_batches} parts of {windows} window{'s' if windows > 1 else ''}, "
        ) + (
            "which draw other dropout masks than the whole would."
            if self._model.config.dropout
            else "with the same result but for rounding."
        )


def dropout_seed(seed: int, step: int) -> int:
    """Seed of a step's dropout, hashed: on the CPU torch uses only the low 32 bits of a seed."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {step}".encode(), digest_size=4).digest(), "little")


def seed_dropout(device: torch.device, seed: int) -> None:
    """Seed the generator of dropout on this device.

    `torch.manual_seed` seeds the generators of all kinds of devices, and for each that is not in use it records the call stack,
    which takes longer than a step of a small model.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
