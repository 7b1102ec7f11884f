"""Ranks of a training, forked from one process that has imported torch, so that a start takes tenths of a second.

Run as a module it is that process: it reads a line of JSON, forks, and prints the process numbers; or waits, and prints the exit
codes. `RankForker` is the other end.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from lab.runs.run_folder import Run

ROOT = Path(__file__).parents[4]


class RankForker:
    """Starts ranks and waits for them."""

    def __enter__(self) -> "RankForker":
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.lab.training.distributed.rank_forker"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
        )
        self._started: list[int] = []
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for pid in self._started:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.communicate()

    def start(self, run: Run, count: int, fault: str = "") -> list[int]:
        """Start a training in so many ranks; returns their process numbers. `fault` names some of `FAULTS`."""
        self._started = self._ask({"run": str(run.path), "count": count, "fault": fault})
        return self._started

    def wait(self) -> list[int]:
        """Wait for all ranks that were started last; returns their exit codes, negative for a signal."""
        codes = self._ask({"wait": self._started})
        self._started = []
        return codes

    def train(self, run: Run, count: int, fault: str = "") -> None:
        """Train a run to its end."""
        self.start(run, count, fault)
        codes = self.wait()
        assert codes == [0] * count, run.log_path.read_text()

    def _ask(self, what: dict[str, Any]) -> list[int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        answer: list[int] = json.loads(self._process.stdout.readline())
        return answer


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
    """The losses of steps 70 to 72 are NaN to rank 0, so that training is rolled back."""
    from lab.training.spike_detector import SpikeDetector

    plain = SpikeDetector.is_bad
    judged = []

    def is_bad(detector: SpikeDetector, loss: float, grad_norm: float, uniform_loss: float) -> bool:
        judged.append(loss)
        return plain(detector, loss if not 70 <= len(judged) <= 72 else float("nan"), grad_norm, uniform_loss)

    SpikeDetector.is_bad = is_bad  # type: ignore[method-assign]


def large_scale(rank: int) -> None:
    """The first scale of the loss in fp16 is so large that gradients overflow at first."""
    from lab.training.acceleration import loss_scaling

    loss_scaling.FIRST_SCALE = 2.0**24


def impatient(rank: int) -> None:
    """A rank is lost after ten seconds without a heartbeat."""
    from lab.training.distributed import rank_watch

    rank_watch.LOST_SECONDS, rank_watch.GRACE_SECONDS = 10.0, 1.0


def other_hosts(rank: int) -> None:
    """Each rank is on a host of its own, as its heartbeat tells."""
    from types import SimpleNamespace

    from lab.training.distributed import rank_watch, rank_zero

    rank_watch.platform = SimpleNamespace(node=lambda: f"host{rank}")  # type: ignore[attr-defined, assignment]
    rank_zero.EXPLAIN_SECONDS = 0.0


FAULTS = {
    "other hosts": other_hosts,
    "large scale": large_scale,
    "full memory": full_memory,
    "impatient": impatient,
    "bad steps": bad_steps,
}


def _rank(run: Path, rank: int, count: int, port: int, fault: str) -> NoReturn:
    from lab.training import trainer

    code = 99
    try:
        os.setsid()
        log = os.open(run / "trainer.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for name in fault.split(", ") if fault else ():
            FAULTS[name](rank)
        if count > 1:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            os.environ |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
        code = trainer.main([str(run)])
    finally:
        os._exit(code)


def _fork(run: Path, count: int, fault: str) -> list[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pids = []
    for rank in range(count):
        pid = os.fork()
        if pid == 0:
            _rank(run, rank, count, port, fault)
        pids.append(pid)
    return pids


def main() -> None:
    import torch

    import lab.training.distributed.other_rank
    import lab.training.distributed.rank_zero
    import lab.training.training_loop  # noqa: F401  forked ranks have them already

    torch.set_num_threads(1)  # a process whose torch has threads cannot be forked
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            answer = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in asked["wait"]]
        else:
            answer = _fork(Path(asked["run"]), asked["count"], asked["fault"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
