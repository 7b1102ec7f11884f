"""State of several ranks: what one receives, a sharded optimizer, and a connection that fails."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from lab.planning.device import training_memory
from lab.runs.run_folder import Run
from lab.training.checkpoint import optimizer_tensors
from lab.training.distributed.launcher import RankEnvironment
from lab.training.distributed.rank_group import broken_connection
from lab.training.trainer_state import TrainerState
from tests.lab.trainee import Trainee


class Wire:
    """A group that keeps what rank 0 sends, and gives it to a rank that receives."""

    device = torch.device("cpu")

    def __init__(self, rank: int, sent: "Wire | None" = None) -> None:
        self.environment = SimpleNamespace(rank=rank, count=2)
        self.messages: list[Any] = list(sent.messages) if sent else []
        self._receives = sent is not None
        self._given: list[weakref.ref[torch.Tensor]] = []
        self.most_alive = 0
        """The most bytes of received tensors that were held at one time."""

    def synchronize(self) -> None:
        pass

    def send_json(self, value: object, source: int = 0) -> bytes:
        if self._receives:
            return self.messages.pop(0)
        self.messages.append(msgspec.json.encode(value))
        return self.messages[-1]

    def send_tensor(self, tensor: torch.Tensor, source: int = 0) -> torch.Tensor:
        if not self._receives:
            self.messages.append(tensor.detach().clone())
            return tensor
        self._given.append(weakref.ref(tensor))
        self.most_alive = max(self.most_alive, sum(each.nbytes for given in self._given if (each := given()) is not None))
        return tensor.copy_(self.messages.pop(0))


@pytest.fixture
def _rank_1_of_2() -> Iterator[None]:
    dist.init_process_group("fake", rank=1, world_size=2, store=FakeStore())
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("_rank_1_of_2")
@pytest.mark.parametrize("sharded", [False, True])
def test_a_rank_holds_no_second_copy_of_the_state(empty_run: Callable[[], Run], sharded: bool) -> None:
    from lab.training.distributed.shared_state import (
        ShardedOptimizer,  # it takes a second
        receive_state,
        send_state,
    )

    run = empty_run()
    first, second = Trainee(run, steps=2), Trainee(run)
    out = Wire(0)
    send_state(out, first.model, first.optimizer, TrainerState(step=2, precision="fp32"))  # type: ignore[arg-type]
    wire = Wire(1, out)
    optimizer = ShardedOptimizer(second.optimizer, second.model, wire) if sharded else second.optimizer  # type: ignore[arg-type]
    state = receive_state(wire, second.model, optimizer)  # type: ignore[arg-type]
    assert state.step == 2
    assert not wire.messages
    for name, weight in first.model.state_dict().items():
        assert torch.equal(weight, second.model.state_dict()[name]), name
    every = optimizer_tensors(first.model, first.optimizer)
    names = {id(weight): name for name, weight in second.model.named_parameters()}
    local = optimizer.optim if isinstance(optimizer, ShardedOptimizer) else optimizer
    own = {f"{key}.{names[id(weight)]}": value for weight, values in local.state.items() for key, value in values.items()}
    assert 0 < len(own) < len(every) if sharded else own.keys() == every.keys()
    for name, value in own.items():
        assert torch.equal(value, every[name]), name
    largest = max(weight.nbytes for weight in first.model.state_dict().values())
    assert wire.most_alive <= sum(value.nbytes for value in own.values()) + largest


@pytest.mark.usefixtures("_rank_1_of_2")
def test_a_sharded_optimizer_tells_when_it_waits_for_the_others(
    empty_run: Callable[[], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the watch of the ranks can end a wait for one that is gone."""
    from lab.training.distributed.shared_state import ShardedOptimizer

    waits = False
    seen: list[bool] = []

    @contextmanager
    def together() -> Iterator[None]:
        nonlocal waits
        waits = True
        yield
        waits = False

    def broadcast(tensor: torch.Tensor, *arguments: object, **named: object) -> SimpleNamespace:
        seen.append(waits)
        return SimpleNamespace(wait=lambda: None)

    trainee = Trainee(empty_run())
    optimizer = ShardedOptimizer(trainee.optimizer, trainee.model, Wire(1), together=together)  # type: ignore[arg-type]
    trainee.model.loss(torch.zeros(1, 4, dtype=torch.int64), torch.ones(1, 4, dtype=torch.int64)).backward()  # type: ignore[no-untyped-call]
    monkeypatch.setattr("torch.distributed.broadcast", broadcast)
    optimizer.step()
    assert seen, "the parts were exchanged"
    assert all(seen)
    sent = len(seen)
    monkeypatch.setattr(Wire, "send_json", lambda wire, value, source: bytes(str(seen.append(waits) or []), "ascii"))
    optimizer.gather_tensors()
    assert seen[sent:] == [True]
    assert not waits


def test_a_batch_that_can_be_split_is_no_reason_to_shard(tiny_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.training.distributed.shared_state import is_sharded  # as below: it imports much

    config = tiny_run(batch=64).config
    environment = RankEnvironment(0, 2, 0, 2, "127.0.0.1", 29500, False)
    whole = training_memory(config.model, 1)
    assert training_memory(config.model, 32) > 4 * whole, "its activations are most of it"
    for room, expected in ((3 * whole, False), (1 * whole, True)):
        monkeypatch.setattr("lab.training.distributed.shared_state.memory", lambda room=room: room)
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
