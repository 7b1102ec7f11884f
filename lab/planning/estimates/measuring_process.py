"""Process that measures something about this machine or a text: it reads a job from its input and prints the result.

Another thread may cancel it. Imports nothing heavy; the process does.
"""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lab.core.detached_process import torch_environment
from lab.core.errors import UserError

SECONDS_BETWEEN_CALLS = 0.2
"""Longest time without a call of `waiting` while it measures."""
MOST_HELD_UP = 0.2
"""Share of its time up to which it may wait for a core and not count as held up by other programs."""


class MeasuringProcess:
    """One measurement, which another thread may cancel."""

    def __init__(self, module: str, what: str, threads: int | None = None) -> None:
        """`module` is run with so many threads of torch. `what` it measures is for people: `the time of a step`."""
        self._module, self._what, self._threads = module, what, threads
        self._process: subprocess.Popen[bytes] | None = None
        self._cancelled = threading.Event()
        self.held_up = 0.0
        """Share of its time that it waited for a core, where Linux says so; 0 where it is small."""

    def run(self, job: bytes, waiting: Callable[[], None] = lambda: None, after: float = 0.0) -> bytes | None:
        """Its output; None if it was cancelled. It waits for `after` seconds first.

        `waiting` is called again and again meanwhile, and cancels by raising. Raises UserError if it fails, with the reason.
        """
        if self._cancelled.wait(after):
            return None
        command = [sys.executable, "-P", "-m", self._module]
        environment = torch_environment(self._threads)
        with tempfile.TemporaryFile() as file:  # a pipe is left half full where `communicate` is called again after a time-out
            file.write(job)
            file.seek(0)
            self._process = process = subprocess.Popen(
                command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
            )
        if self._cancelled.is_set():
            process.kill()
        output, errors = self._communicate(process, waiting)
        if self._cancelled.is_set():
            return None
        if process.returncode:
            last = (errors.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise UserError(f"{self._what[0].upper()}{self._what[1:]} could not be measured: {last}")
        return output

    def _communicate(self, process: "subprocess.Popen[bytes]", waiting: Callable[[], None]) -> tuple[bytes, bytes]:
        try:
            while True:
                try:
                    return process.communicate(timeout=SECONDS_BETWEEN_CALLS)
                except subprocess.TimeoutExpired:
                    self._see_held_up(process.pid)
                    waiting()
        except BaseException:
            process.kill()
            process.communicate()
            raise

    def _see_held_up(self, pid: int) -> None:
        times = [0, 0]
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):  # it has ended meanwhile
                times = [before + int(now) for before, now in zip(times, task.read_text().split(), strict=False)]
        share = times[1] / (sum(times) or 1)
        self.held_up = share if share > MOST_HELD_UP else 0.0

    def cancel(self) -> None:
        self._cancelled.set()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
