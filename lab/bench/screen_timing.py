"""The lab's screen timed: first paint beside the smallest Textual app's, memory, and training while the lab shows it.

The programs run as subprocesses: nothing of the lab but `screens` may import Textual.
"""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil  # type: ignore[import-untyped]

from lab.core.errors import UserError
from lab.planning.prepare_run import prepare_run
from lab.planning.settings_table import RunRequest
from lab.runs.run_folder import Run
from lab.training.start_trainer import start_trainer

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
        self._folder = tempfile.TemporaryDirectory()
        self._run: Run | None = None
        self._lab: subprocess.Popen[bytes] | None = None
        try:
            self._start(Path(self._folder.name))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def _start(self, home: Path) -> None:
        run = self._run = prepare_run(RunRequest(name="watched", home=home, **TRAINED))
        start_trainer(run)
        self._until(lambda: self._at()[0] > 0, "the training began")
        self._master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        command, environment = [sys.executable, "-P", "-m", "lab.cli"], {**os.environ, "LLMLAB_HOME": str(home), **TERMINAL}
        self._lab = subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True
        )
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
        last = self._run.last_metric() if self._run else None
        return (last.step, last.seconds) if last else (0, 0.0)

    def turn(self, seconds: float) -> None:
        """Measure so many seconds with the lab open, and as many with it halted."""
        assert self._lab is not None
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

    def _end(self) -> None:
        if self._lab is not None:
            os.killpg(self._lab.pid, signal.SIGKILL)
            self._lab.wait()
        if (run := self._run) is not None and run.is_alive():
            run.send_command("stop")
            self._until(lambda: not run.is_alive(), "the trainer stopped")
        self._folder.cleanup()
