"""Things that are timed against each other, each in a process of its own, in turns: while one works the others wait."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from lab.core.errors import UserError


@dataclass
class TimedProcess:
    """A process that does a round of work for every line on its standard input, and answers how much and how long.

    `module` is run with `job` as its argument, in JSON; see `lab.bench.worker`. `environment` is all that the process gets.
    """

    name: str
    module: str
    job: Mapping[str, Any]
    environment: Mapping[str, str]
    rates: list[float] = field(default_factory=list)
    """Units a second of each round: tokens, bytes or floating-point operations, as the job says."""
    told: dict[str, Any] = field(default_factory=dict)
    """What it said of itself when it was ready."""
    _process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-P", "-m", self.module, json.dumps(self.job)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(self.environment)
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        process, self._process = self._process, None
        assert process is not None
        if kind is None and process.stdin:
            process.stdin.close()
        else:
            process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()

    def get_ready(self) -> None:
        """Waits until it has warmed up."""
        self.told = self._answer()

    def round(self) -> None:
        """Has it work once more, and notes its rate."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        answer = self._answer()
        self.rates.append(answer["units"] / answer["seconds"])

    def _answer(self) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        if not line:
            said = process.stderr.read().strip().splitlines()
            raise UserError(f"{self.name} could not be measured: {said[-1] if said else 'its process ended without a word'}.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)


def time_in_turns(contenders: Sequence[TimedProcess], rounds: int, between: Callable[[], None] = lambda: None) -> None:
    """Runs them in turns, so that whatever else the machine does falls on all of them alike.

    Raises:
        UserError: if one of them cannot work, with its own last words.
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
    """How many times as fast `one` is: the median over the rounds, each compared with the round beside it."""
    return statistics.median(a / b for a, b in zip(one.rates, other.rates, strict=True))
