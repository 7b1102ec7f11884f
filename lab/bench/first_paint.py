"""First paint of the lab and of the smallest Textual app, both headless, timed; and the memory the lab holds.

The programs run as subprocesses: nothing of the lab but `screens` may import Textual.
"""

import subprocess
import sys
import time
from collections.abc import Mapping

import psutil  # type: ignore[import-untyped]

from lab.core.errors import UserError

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
LAB = "from screens.app import LabApp\n" + _PAINT.format(base="LabApp")
LISTED = """
import os
from screens.app import LabApp
class Listed(LabApp):
    def watch_runs(self, runs) -> None:
        if runs:
            self.call_after_refresh(os.write, 1, b"painted\\n")
Listed().run(headless=True, size=(80, 24))
"""
"""The lab, painted once its list of runs is on the screen."""


class TimedApp:
    """An app that has painted. `seconds` runs from process start to first frame; `memory` is in bytes.

    Raises:
        UserError: if it ends without painting.
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
        """Kill the app."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
