"""Processes that are timed, and the rows and the report of what was measured.

A `TimedProcess` works in turns with others: while one works the others wait. `TimedApp` is the first paint of the lab beside the
smallest Textual app's, `WatchedTraining` training while the lab shows it; they run as subprocesses, for nothing of the lab but
`screens` may import Textual. Comparisons with other projects stand beside the tests of a source checkout.
"""

import fcntl
import importlib.util
import json
import os
import pty
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, TracebackType
from typing import IO, Any, Self

import msgspec
import psutil  # type: ignore[import-untyped]

from lab.core.errors import UserError
from lab.planning.prepare_run import prepare_run
from lab.planning.settings_table import RunRequest
from lab.runs.run_folder import Run
from lab.training.start_trainer import start_trainer
from models.installation import source_checkout


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


def time_in_turns(contenders: Sequence[TimedProcess], rounds: int) -> None:
    """Run them in turns, so that other load on the machine affects all of them alike.

    Raises: UserError: if one of them cannot work, with its last line of stderr.
    """
    for contender in contenders:
        contender.get_ready()
    for _ in range(rounds):
        for contender in contenders:
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
    with suppress(psutil.NoSuchProcess):
        return str(run.path) in child.cmdline()
    return False


class BenchRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One figure. `value` is in `unit`; `ratio` compares it with the one named in `against`, measured in turns."""

    group: str
    name: str
    value: float | None = None
    unit: str = ""
    ratio: float | None = None
    against: str = ""
    note: str = ""


class BenchReport(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one `llmlab bench`."""

    date: str
    """Local time in ISO 8601, to the second."""
    machine: str
    cores: int
    torch: str
    load: float
    """Load average of the minute before it began. Above 0, other processes were running."""
    seconds: float
    rows: list[BenchRow]


PAINTED = b"painted\n"
TERMINAL = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
"""Settings of most terminals."""
SETTLED = 1.5
"""Seconds after the first paint at which memory is read."""

_PAINT = """
import os
class Painted({base}):
    def on_ready(self) -> None:
        os.write(1, b"painted\\n")
Painted().run(headless=True, size=(80, 24))
"""
TEXTUAL = (
    "from textual.app import App\nfrom textual.widgets import Static\n"
    "class Base(App):\n    def compose(self):\n        yield Static('hello')\n" + _PAINT.format(base="Base")
)
LAB = "from lab.cli import import_lab\nLabApp = import_lab().LabApp\n" + _PAINT.format(base="LabApp")


class TimedApp:
    """An app that has painted. `seconds` runs from process start to first frame; `memory` is in bytes.

    Raises: UserError: if it ends without painting.
    """

    def __init__(self, program: str, environment: Mapping[str, str], *, settle: bool = False) -> None:
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environment, **TERMINAL},
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        self.seconds = time.perf_counter() - started
        if said != PAINTED:
            self.close()
            raise UserError("the app to be timed ended before its first paint.")
        self.memory = 0
        if settle:
            time.sleep(SETTLED)
            self.memory = int(psutil.Process(self._process.pid).memory_info().rss)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


TRAINED: dict[str, Any] = {"text": "stories", "preset": "micro", "steps": 1_000_000}
COLUMNS, ROWS = 120, 40
OPEN = b"tokens/s"
"""Painted only by Train while it shows a running training."""
TIMEOUT = 60.0
WARM_UP = 5.0
"""Seconds after which the lab has imported its modules and the trainer runs at its full speed."""
CATCH_UP = 0.5
"""Seconds for the lab to catch up after it was halted."""


@dataclass
class WatchedTraining:
    """A run in training, and a lab that shows it; a context manager."""

    shown: list[float] = field(default_factory=list)
    """Steps a second of each turn, while the lab was open."""
    alone: list[float] = field(default_factory=list)
    """The same while the lab was halted."""
    load: list[float] = field(default_factory=list)
    """Share of a core used by the lab in each turn."""

    def __enter__(self) -> Self:
        with ExitStack() as ending:
            self._start(Path(ending.enter_context(tempfile.TemporaryDirectory())), ending)
            self._ending = ending.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.close()

    def _start(self, home: Path, ending: ExitStack) -> None:
        run = self._run = prepare_run(RunRequest(name="watched", home=home, **TRAINED))
        ending.callback(end_trainer, run)
        start_trainer(run)
        self._until(lambda: self._at()[0] > 0, "the training began")
        self._master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        command, environment = [sys.executable, "-P", "-m", "lab.cli"], {**os.environ, "LLMLAB_HOME": str(home), **TERMINAL}
        self._lab = subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True
        )
        ending.callback(self._kill_lab)
        os.close(terminal)
        self._painted = b""
        threading.Thread(target=self._drain, daemon=True).start()
        self._until(lambda: run.name.encode() in self._painted, "the lab listed the run")
        os.write(self._master, b"4")
        self._until(lambda: OPEN in self._painted, "the lab showed the run")
        time.sleep(WARM_UP)

    def _drain(self) -> None:
        """Read the lab's output as a terminal does; a full buffer would block it."""
        with suppress(OSError):  # the end of a pseudo-terminal whose other side was closed
            while painted := os.read(self._master, 1 << 16):
                self._painted = painted if OPEN in painted else (self._painted + painted)[-1 << 16 :]

    def _until(self, done: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + TIMEOUT
        while not done():
            if time.monotonic() > end:
                raise UserError(f"{TIMEOUT:.0f} seconds passed before {what}; it could not be measured.")
            time.sleep(0.05)

    def _at(self) -> tuple[int, float]:
        """The last step in the metrics, and the seconds of training at its end."""
        last = self._run.last_metric()
        return (last.step, last.seconds) if last else (0, 0.0)

    def turn(self, seconds: float) -> None:
        """Measure so many seconds with the lab open, and as many with it halted."""
        process = psutil.Process(self._lab.pid)
        before, started = process.cpu_times(), time.monotonic()
        self.shown.append(self._steps_per_second(seconds))
        after = process.cpu_times()
        self.load.append((after.user + after.system - before.user - before.system) / (time.monotonic() - started))
        os.killpg(self._lab.pid, signal.SIGSTOP)
        self.alone.append(self._steps_per_second(seconds))
        os.killpg(self._lab.pid, signal.SIGCONT)
        time.sleep(CATCH_UP)

    def _steps_per_second(self, seconds: float) -> float:
        first, began = self._at()
        time.sleep(seconds)
        self._until(lambda: self._at()[0] > first, "the next step was made")
        last, ended = self._at()
        return (last - first) / (ended - began)

    def _kill_lab(self) -> None:
        os.killpg(self._lab.pid, signal.SIGKILL)
        self._lab.wait()
