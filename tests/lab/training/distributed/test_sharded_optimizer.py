"""The choice to shard the optimizer's state, and the sentence about a connection that failed."""

from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist

from lab.planning.device import training_memory
from lab.runs.run_folder import Run
from lab.training.distributed.rank_environment import RankEnvironment
from lab.training.distributed.rank_group import broken_connection
from lab.training.distributed.sharded_optimizer import is_sharded


def test_a_batch_that_can_be_split_is_no_reason_to_shard(tiny_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_run(batch=64).config
    environment = RankEnvironment(0, 2, 0, 2, "127.0.0.1", 29500, False)
    whole = training_memory(config.model, 1)
    assert training_memory(config.model, 32) > 4 * whole, "its activations are most of it"
    for room, expected in ((3 * whole, False), (1 * whole, True)):
        monkeypatch.setattr("lab.training.distributed.sharded_optimizer.memory", lambda room=room: room)
        assert is_sharded(config, environment, torch.device("cpu")) is expected


def test_nccl_s_own_reason_is_told() -> None:
    error = dist.DistBackendError(
        "NCCL error in: x.cpp:3356, unhandled cuda error (run with NCCL_DEBUG=INFO for details), NCCL version 2.26.2\n"
        "ncclUnhandledCudaError: Call to CUDA function failed.\n"
        "Last error:\n"
        "Error while creating shared memory segment /dev/shm/nccl-abc (size 9637888)"
    )
    assert broken_connection(error) == (
        "The connection to another rank failed (Error while creating shared memory segment /dev/shm/nccl-abc (size 9637888)), "
        "and training ended with it."
    )
