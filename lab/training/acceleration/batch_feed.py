"""Batches on the device: on a GPU the next step's is gathered and copied while this step computes, in the same order."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from lab.data.token_file import Ids

Batch = tuple[Tensor, Tensor]
"""Inputs (B, T) and targets (B, T)."""


class Batches(Protocol):
    """The batch of a step follows from its number, as in `lab.data.data_order.TrainingBatches`."""

    def at(self, step: int) -> tuple[Ids, Ids]: ...


class CopyAhead:
    """Copies to a CUDA device from pinned memory on a stream of their own, so that they wait for no computation."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def start(self, batch: Batch) -> Batch:
        """Begin to copy; the tensors must not be read before `finish`."""
        with torch.cuda.stream(self._stream):
            ids, targets = (part.pin_memory().to(self._device, non_blocking=True) for part in batch)
        return ids, targets

    def finish(self, batch: Batch) -> Batch:
        """Have what is computed from now on wait for the copy."""
        computing = torch.cuda.current_stream(self._device)
        computing.wait_stream(self._stream)
        for part in batch:
            part.record_stream(computing)  # its memory was allocated on the other stream
        return batch


class BatchFeed:
    """Batches of a run's steps, on its device."""

    def __init__(self, batches: Batches, device: torch.device, copier: Callable[[torch.device], CopyAhead] = CopyAhead) -> None:
        self._batches = batches
        self._device = device
        self._copier = copier(device) if device.type == "cuda" else None
        self._next: tuple[int, Batch] | None = None

    def at(self, step: int) -> Batch:
        """The batch of a step."""
        if self._copier is None:
            ids, targets = (part.to(self._device) for part in self._read(step))
            return ids, targets
        ahead, self._next = self._next, None
        if ahead is None or ahead[0] != step:
            ahead = step, self._copier.start(self._read(step))
        return self._copier.finish(ahead[1])

    def prepare(self, step: int) -> None:
        """Gather and copy a step's batch, on a GPU, where the present step is still computed; elsewhere do nothing."""
        if self._copier is not None and (self._next is None or self._next[0] != step):
            self._next = step, self._copier.start(self._read(step))

    def _read(self, step: int) -> Batch:
        ids, targets = self._batches.at(step)
        return torch.from_numpy(ids), torch.from_numpy(targets)
