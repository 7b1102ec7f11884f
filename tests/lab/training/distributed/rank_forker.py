"""Ranks of a training, forked from one process that has imported torch, so that a start takes tenths of a second; their runs."""

import os
import signal
import socket
import threading
from typing import Any

import pytest

from lab.runs.run_folder import Run
from tests.lab.training.module_forker import ModuleForker

PLAIN = {"precision": "fp32", "attention": "plain", "dropout": 0.0, "batch": 5, "sample_tokens": 2}
"""So that one rank and two compute the same; five windows are two on rank 0 and three on rank 1."""


def reached(run: Run, step: int) -> bool:
    assert run.status().phase != "failed", run.log_path.read_text()
    last = run.last_metric()
    return last is not None and last.step >= step


def losses(run: Run) -> list[tuple[int, float | None, float | None]]:
    return [(metric.step, metric.loss, metric.val_loss) for metric in run.metrics().read()]


def assert_close(one: Run, other: Run, steps: int) -> None:
    """The same losses to rounding; metrics.jsonl has five decimal places."""
    first, second = losses(one)[: steps + 1], losses(other)[: steps + 1]
    assert len(first) == len(second) == steps + 1
    for (step, loss, val_loss), (other_step, other_loss, other_val_loss) in zip(first, second, strict=True):
        assert step == other_step
        assert loss == pytest.approx(other_loss, abs=1e-4), step
        assert val_loss == pytest.approx(other_val_loss, abs=1e-4), step


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class RankForker:
    """Starts ranks and waits for them."""

    def __init__(self, forker: ModuleForker) -> None:
        ranks = ("lab.training.distributed.rank_roles",)
        forker.load(*ranks, "torch._dynamo", "torch.distributed.run")  # the first is of DistributedDataParallel
        self._forker = forker
        self._started: list[int] = []

    def start(self, run: Run, count: int, fault: str = "") -> list[int]:
        """Start a training in so many ranks; returns their process numbers. `fault` names some of `FAULTS`."""
        environment = dict(os.environ)
        if count > 1:
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
            environment |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
        self._started = []
        for rank in range(count):
            ranked = environment | ({"RANK": str(rank), "LOCAL_RANK": str(rank)} if count > 1 else {})
            arguments = [str(run.path), str(rank), fault]
            self._started.append(self._forker.fork(__name__, arguments, log=run.log_path, environment=ranked))
        return self._started

    def wait(self, pids: list[int] | None = None) -> list[int | None]:
        """Wait for these ranks, or all that were started last; returns their exit codes, negative for a signal."""
        return [self._forker.code_of(pid) for pid in pids or self._started]

    def train(self, run: Run, count: int, fault: str = "") -> None:
        """Train a run to its end."""
        self.start(run, count, fault)
        codes = self.wait()
        assert codes == [0] * count, run.log_path.read_text()


def full_memory(rank: int) -> None:
    """Rank 1 has no memory for more than one window at once."""
    import torch

    from models.gpt import GPT

    plain = GPT.loss

    def loss(model: GPT, ids: torch.Tensor, *rest: Any) -> torch.Tensor:
        if len(ids) > 1 and model.training:
            raise torch.OutOfMemoryError("out of memory")
        return plain(model, ids, *rest)

    if rank == 1:
        GPT.loss = loss  # type: ignore[method-assign]


def bad_steps(rank: int) -> None:
    """The losses of steps 13 to 15 are NaN to rank 0, so that training is rolled back to step 10."""
    from lab.training import rollback
    from lab.training.trainer_state import SpikeDetector

    rollback.KEEP_STATE_EVERY = 10

    plain = SpikeDetector.is_bad
    judged = []

    def is_bad(detector: SpikeDetector, loss: float, grad_norm: float, uniform_loss: float) -> bool:
        judged.append(loss)
        return plain(detector, loss if not 13 <= len(judged) <= 15 else float("nan"), grad_norm, uniform_loss)

    SpikeDetector.is_bad = is_bad  # type: ignore[method-assign]


def large_scale(rank: int) -> None:
    """The first scale of the loss in fp16 is so large that gradients overflow at first."""
    from lab.training import loss_scaling

    loss_scaling.FIRST_SCALE = 2.0**24


def impatient(rank: int) -> None:
    """From SIGUSR1 on, a rank is lost after two seconds without a heartbeat."""
    from lab.training.distributed import rank_watch

    def lower() -> None:
        signal.sigwait({signal.SIGUSR1})
        rank_watch.LOST_SECONDS, rank_watch.GRACE_SECONDS = 2.0, 0.5

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    threading.Thread(target=lower, daemon=True).start()


def other_hosts(rank: int) -> None:
    """Each rank is on a host of its own, as its heartbeat tells."""
    from types import SimpleNamespace

    from lab.training.distributed import rank_roles, rank_watch

    rank_watch.platform = SimpleNamespace(node=lambda: f"host{rank}")  # type: ignore[attr-defined, assignment]
    rank_roles.EXPLAIN_SECONDS = 0.0


def ends_before_first_step(rank: int) -> None:
    """Rank 1 ends once it has the weights, before it is ready for the first step."""
    from lab.training.distributed import rank_roles

    def killed(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if rank == 1:
        rank_roles.ComputeSetup = killed  # type: ignore[assignment, misc]


FAULTS = {
    "ends before first step": ends_before_first_step,
    "other hosts": other_hosts,
    "large scale": large_scale,
    "full memory": full_memory,
    "impatient": impatient,
    "bad steps": bad_steps,
}


def main(arguments: list[str]) -> int:
    """Train a run, as one rank, with some faults."""
    from lab.training import trainer

    run, rank, fault = arguments
    for name in fault.split(", ") if fault else ():
        FAULTS[name](int(rank))
    return trainer.main([run])
