"""Process group of the ranks: joining it, tensors and JSON that rank 0 sends to all, sums over all, and the shared step.

Tensors of the model go through NCCL on GPUs and Gloo on the CPU; orders and losses always through a Gloo group of their own, in
which a rank may wait for as long as rank 0 evaluates, is paused, or waits for room on a disk.
"""

import os
import re
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import timedelta
from enum import IntEnum
from typing import NamedTuple

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.nn.parallel import DistributedDataParallel

from lab.core.errors import UserError, is_out_of_memory
from lab.planning.device import choose_device
from lab.training.distributed.launcher import RankEnvironment
from lab.training.distributed.one_rank import LossFunction, OneRank
from models.gpt import GPT


class Kind(IntEnum):
    STEP = 1
    """Compute the gradient of a step."""
    UPDATE = 2
    """Update the weights by it."""
    SKIP = 3
    """Leave it out: the step was bad."""
    SHARE = 4
    """Receive weights and optimizer state."""
    GATHER = 5
    """Send the parts of a sharded optimizer's state to rank 0."""
    END = 6


class Order(NamedTuple):
    """An order of rank 0, sent before anything that all ranks do together; all but `kind` is for STEP."""

    kind: Kind
    step: int = 0
    micro_batches: int = 0
    lr: float = 0.0
    overlap: bool = False
    """Add up gradients while the backward pass goes on, not after it."""


JOIN_SECONDS = 600.0
"""Time for all ranks to start: a cluster gives its machines one after the other."""
STORE_SECONDS = 30.0
"""Time for an answer of the key-value store."""
UNLIMITED = timedelta(days=3650)
"""Of the group for orders. That a rank is lost is found by `lab.training.distributed.rank_watch`, not by a timeout."""
POLL_SECONDS = 0.0002
"""Between two looks for an order, so that signals are taken meanwhile."""
IDLE_SECONDS = 0.02
"""The same once none has come for `BUSY_SECONDS`: while rank 0 evaluates or is paused."""
BUSY_SECONDS = 1.0
LONGEST_REASON = 200
"""Characters of PyTorch's reason for a broken connection that are repeated."""


TYPES = {str(dtype): dtype for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32)}


class TensorFacts(msgspec.Struct, array_like=True):
    """Name, type and shape of a tensor that is about to be sent."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def empty(self, device: torch.device) -> Tensor:
        return torch.empty(self.shape, dtype=TYPES[self.dtype], device=device)


def facts_of(tensors: dict[str, Tensor]) -> list[TensorFacts]:
    return [TensorFacts(name, str(tensor.dtype), tuple(tensor.shape)) for name, tensor in tensors.items()]


def rank_device(environment: RankEnvironment, setting: str) -> torch.device:
    """The device of a rank: with CUDA the GPU of its local rank. Raises UserError if there is none for it."""
    kind = setting.split(":")[0]
    if kind == "mps":
        raise UserError("Several ranks need CUDA or the CPU, and this run was made for mps; train it in one process.")
    if kind == "cpu" or (kind == "auto" and choose_device("auto").type != "cuda"):
        return torch.device("cpu")
    if environment.local_rank >= torch.cuda.device_count():
        raise UserError(
            f"This machine has {torch.cuda.device_count()} GPUs for {environment.local_count} ranks; start one rank for each."
        )
    device = choose_device(f"cuda:{environment.local_rank}")
    torch.cuda.set_device(device)
    return device


def connect_store(environment: RankEnvironment, *, serve: bool) -> Store:
    """A connection to the key-value store; with `serve`, rank 0 opens it where the launcher does not. Raises UserError.

    A launcher's store is there before its ranks are: one that does not answer soon has ended.
    """
    serves = serve and environment.rank == 0 and not environment.has_store
    seconds = STORE_SECONDS if environment.has_store else JOIN_SECONDS
    try:
        store = dist.TCPStore(  # type: ignore[attr-defined]
            environment.address,
            environment.port,
            is_master=serves,
            timeout=timedelta(seconds=seconds),
            wait_for_workers=False,
        )
    except RuntimeError as error:
        raise UserError(
            f"Rank {environment.rank} cannot reach the other ranks at {environment.address}:{environment.port} "
            f"({str(error).splitlines()[0][:200]})."
        ) from error
    store.set_timeout(timedelta(seconds=STORE_SECONDS))
    return PrefixStore(environment.prefix, store)


class RankGroup:
    """All ranks of a training, connected."""

    def __init__(self, environment: RankEnvironment, device: torch.device, store: Store) -> None:
        self.environment, self.device = environment, device
        if device.type == "cuda":  # else NCCL may abort this process before the watch of the ranks has said why
            os.environ["TORCH_NCCL_ASYNC_ERROR_HANDLING"] = "0"
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=PrefixStore("group", store),
            rank=environment.rank,
            world_size=environment.count,
            timeout=timedelta(seconds=JOIN_SECONDS),
        )
        self._orders = dist.new_group(backend="gloo", timeout=UNLIMITED)

    def leave(self) -> None:
        dist.destroy_process_group()

    def send_end(self, seconds: float) -> None:
        """Send the order to end, and leave the group if the others have taken it before the time is up."""
        order = torch.tensor(Order(Kind.END), dtype=torch.float64)
        work = dist.broadcast(order, 0, group=self._orders, async_op=True)
        assert work is not None
        deadline = time.monotonic() + seconds
        while not work.is_completed() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if not work.is_completed():
            return
        with suppress(RuntimeError):  # a rank is gone already
            work.wait()
            self.leave()

    def send(self, order: Order) -> None:
        """Send an order from rank 0 to the others."""
        dist.broadcast(torch.tensor(order, dtype=torch.float64), 0, group=self._orders)

    def receive(self, waiting: Callable[[], None]) -> Order:
        """Wait for an order; `waiting` is called again and again meanwhile, and may raise to end it."""
        numbers = torch.zeros(len(Order._fields), dtype=torch.float64)
        work = dist.broadcast(numbers, 0, group=self._orders, async_op=True)
        assert work is not None
        started = time.monotonic()
        while not work.is_completed():
            waiting()
            time.sleep(POLL_SECONDS if time.monotonic() - started < BUSY_SECONDS else IDLE_SECONDS)
        work.wait()
        kind, step, micro_batches, lr, overlap = numbers.tolist()
        return Order(Kind(int(kind)), int(step), int(micro_batches), lr, bool(overlap))

    def sum(self, numbers: list[float]) -> list[float]:
        """Sums over all ranks, in fp64."""
        totals = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(totals, group=self._orders)
        return totals.tolist()

    def send_json(self, value: object | None, source: int = 0) -> bytes:
        """JSON of a value from one rank to all, which gives None for it; returns the JSON."""
        own = msgspec.json.encode(value) if self.environment.rank == source else b""
        size = torch.tensor([len(own)])
        dist.broadcast(size, source, group=self._orders)
        content = torch.frombuffer(bytearray(own), dtype=torch.uint8) if own else torch.zeros(int(size), dtype=torch.uint8)
        dist.broadcast(content, source, group=self._orders)
        return content.numpy().tobytes()

    def send_tensor(self, tensor: Tensor, source: int = 0) -> Tensor:
        """A tensor from one rank to all; the others give one of its shape and type, which is overwritten, and returned."""
        there = tensor.detach().to(self.device).contiguous()
        dist.broadcast(there, source)
        return there

    def synchronize(self) -> None:
        """Wait until the GPU has sent and received: NCCL's calls only enqueue that."""
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()

    def parallel(self, model: GPT, loss: Callable[..., Tensor]) -> DistributedDataParallel:
        """The loss of a model as a module whose backward pass adds up the gradients of all ranks.

        They are added, not averaged: each rank weights its loss by its fraction of the batch's windows.
        """
        parallel = DistributedDataParallel(
            _Loss(model, loss),
            device_ids=[self.device] if self.device.type == "cuda" else None,
            gradient_as_bucket_view=True,
        )
        parallel.register_comm_hook(None, _add_up)
        return parallel

    def add_up_gradients(self, weights: Iterable[Tensor]) -> None:
        """Add up gradients after a backward pass without communication, one by one: so are those of few steps."""
        for weight in weights:
            assert weight.grad is not None
            dist.all_reduce(weight.grad)


def broken_connection(error: BaseException) -> str:
    """A sentence if a collective has failed: so it does at once where a process on another machine ends. Else empty."""
    text = str(error)
    is_broken = isinstance(error, dist.DistError) or any(word in text.lower() for word in ("gloo", "nccl error", "connection"))
    if not isinstance(error, RuntimeError) or is_out_of_memory(error) or not is_broken:
        return ""
    # NCCL ends with its own reason; a place in Gloo's source stands before it, which a callback's error has in its middle.
    after_place = re.search(r"Last error:\s*(.+)", text) or re.search(r"\[\S+:\d+\] *(.+)", text)
    first_line = after_place[1] if after_place else (text.strip().splitlines() or [type(error).__name__])[0]
    reason = first_line.split(". ")[0][:LONGEST_REASON].rstrip(" .")
    return f"The connection to another rank failed ({reason}), and training ended with it."


class _Loss(nn.Module):
    """The loss of a model as its forward pass, which DistributedDataParallel wraps."""

    def __init__(self, model: GPT, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model = model
        self._loss = loss

    def forward(self, *arguments: object) -> Tensor:
        return self._loss(*arguments)


def _add_up(_: object, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:  # type: ignore[name-defined]
    work = dist.all_reduce(bucket.buffer(), async_op=True)
    assert work is not None
    total: torch.futures.Future[Tensor] = work.get_future().then(lambda done: done.value()[0])
    return total


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
