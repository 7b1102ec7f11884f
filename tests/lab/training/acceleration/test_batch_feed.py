"""Batches copied ahead: the same ones in the same order, each read once, whatever was prepared."""

from typing import Any

import numpy as np
import pytest
import torch

from lab.training.acceleration.batch_feed import Batch, BatchFeed

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


class Numbered:
    """The batch of a step holds its number."""

    def __init__(self) -> None:
        self.read = list[int]()

    def at(self, step: int) -> tuple[Any, Any]:
        self.read.append(step)
        return np.full((2, 3), step), np.full((2, 3), step + 1)


class FakeCopier:
    """Copies that are garbage until they are finished."""

    def __init__(self, device: torch.device) -> None:
        self.log = list[str]()

    def start(self, batch: Batch) -> Batch:
        self.log.append(f"start {int(batch[0][0, 0])}")
        self.pending = batch
        return torch.full_like(batch[0], -1), torch.full_like(batch[1], -1)

    def finish(self, batch: Batch) -> Batch:
        self.log.append(f"finish {int(self.pending[0][0, 0])}")
        for part, value in zip(batch, self.pending, strict=True):
            part.copy_(value)
        return batch


@pytest.fixture
def feed() -> tuple[BatchFeed, Numbered, FakeCopier]:
    batches, copier = Numbered(), FakeCopier(CUDA)
    return BatchFeed(batches, CUDA, lambda device: copier), batches, copier  # type: ignore[arg-type, return-value]


Feed = tuple[BatchFeed, Numbered, FakeCopier]


def test_each_step_has_its_own_batch_which_is_read_once_and_copied_before_it(feed: Feed) -> None:
    batches, numbered, copier = feed
    for step in range(3):
        ids, targets = batches.at(step)
        assert (int(ids[0, 0]), int(targets[1, 2])) == (step, step + 1)
        batches.prepare(step + 1)
        batches.prepare(step + 1)
    assert numbered.read == [0, 1, 2, 3]
    assert copier.log == ["start 0", "finish 0", "start 1", "finish 1", "start 2", "finish 2", "start 3"]


def test_a_step_begun_anew_or_another_than_was_prepared_has_the_right_batch(feed: Feed) -> None:
    batches, numbered, _ = feed
    batches.at(5)
    batches.prepare(6)
    assert int(batches.at(5)[0][0, 0]) == 5
    assert int(batches.at(6)[0][0, 0]) == 6
    assert numbered.read == [5, 6, 5, 6]


def test_on_a_cpu_nothing_is_prepared_or_copied() -> None:
    kept = np.arange(6).reshape(2, 3)

    class Same:
        def at(self, step: int) -> tuple[Any, Any]:
            return kept, kept

    batches = BatchFeed(Same(), CPU)
    batches.prepare(1)
    assert batches.at(0)[0].data_ptr() == kept.ctypes.data
