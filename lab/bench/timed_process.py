"""Processes timed against each other in turns: while one works the others wait. And the end of a measurement's trainer.

Comparisons with other projects stand beside the tests of a source checkout.
"""

import contextlib
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType, TracebackType
from typing import IO, Any, Self

import psutil  # type: ignore[import-untyped]

from lab.core.errors import UserError
from lab.runs.home_folder import source_checkout
from lab.runs.run_folder import Run


def comparison(name: str) -> str:
    """The script of a comparison with another project. Raises UserError where the lab is installed without it."""
    checkout = source_checkout()
    if checkout is None:
        raise UserError("Only a source checkout of llmlab compares with nanoGPT; this one is installed without that part.")
    return str(checkout / "tests" / "lab" / "bench" / f"{name}.py")


def load_comparison(name: str) -> ModuleType:
    """That script as a module. Raises UserError as `comparison`."""
    spec = importlib.util.spec_from_file_location(name, comparison(name))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class TimedProcess:
    """A process that does a round of work for every line on its standard input, and answers with units and seconds.

    `module`, or the script at that path, is run with `job` as its argument, in JSON; see `lab.bench.bench_worker`.
    `environment` is its whole environment.
    """

    name: str
    module: str
    job: Mapping[str, Any]
    environment: Mapping[str, str]
    throughputs: list[float] = field(default_factory=list)
    """Units per second of each round: tokens, bytes or floating-point operations, as the job says."""
    info: dict[str, Any] = field(default_factory=dict)
    """Its answer when it was ready."""
    last: dict[str, Any] = field(default_factory=dict)
    """Its answer to the last round, which may hold more than units and seconds."""
    _process: subprocess.Popen[str] = field(init=False)
    _errors: IO[str] = field(init=False)
    """What it writes to stderr."""

    def __enter__(self) -> Self:
        program = [self.module] if self.module.endswith(".py") else ["-m", self.module]
        command = [sys.executable, "-P", *program, json.dumps(self.job)]
        # A full pipe that nobody reads would stop it.
        self._errors = tempfile.TemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=dict(self.environment)
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        process = self._process
        if kind is None and process.stdin:
            process.stdin.close()
        else:
            process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
        self._errors.close()

    def get_ready(self) -> None:
        """Wait until it has warmed up."""
        self.info = self._answer()

    def round(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write("\n")
        stdin.flush()
        self.last = answer = self._answer()
        self.throughputs.append(answer["units"] / answer["seconds"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            said = self._errors.read().strip().splitlines()
            raise UserError(f"{self.name} could not be measured: {said[-1] if said else 'its process ended without a message'}.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @property
    def throughput(self) -> float:
        return statistics.median(self.throughputs)


def time_in_turns(contenders: Sequence[TimedProcess], rounds: int, between: Callable[[], None] = lambda: None) -> None:
    """Run them in turns, so that other load on the machine affects all of them alike.

    Raises: UserError: if one of them cannot work, with its last line of stderr.
    """
    for index, contender in enumerate(contenders):
        if index:
            between()
        contender.get_ready()
    for _ in range(rounds):
        for contender in contenders:
            between()
            contender.round()


def ratio(one: TimedProcess, other: TimedProcess) -> float:
    """Speed-up of `one` over `other`: the median over the rounds, each compared with the round beside it."""
    return statistics.median(a / b for a, b in zip(one.throughputs, other.throughputs, strict=True))


END_SECONDS = 30.0
"""Time for a trainer to save and end, before it is killed."""


def end_trainer(run: Run) -> None:
    """End the trainer of the run, if this process started one and it still works, and wait for it."""
    own = [child for child in psutil.Process().children() if _trains(child, run)]
    for child in own:
        child.terminate()
    for child in psutil.wait_procs(own, timeout=END_SECONDS)[1]:
        child.kill()
        child.wait()


def _trains(child: psutil.Process, run: Run) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return str(run.path) in child.cmdline()
    return False
