"""Signals that ask a trainer to end: SIGTERM, SIGINT and SIGHUP, noted when they arrive and obeyed between steps."""

import os
import signal
import time
from types import FrameType

TWICE_SECONDS = 5.0
"""Time in which one signal may reach a rank twice: from the terminal or the cluster, and from the launcher that hands it on."""


class StopSignals:
    """Handler of the signals that ask a trainer to end; `caught` is the name of the first."""

    def __init__(self, *, may_come_twice: bool = False) -> None:
        """With `may_come_twice` a signal counts as a second one only `TWICE_SECONDS` after the first."""
        self.caught: str | None = None
        self._may_come_twice = may_come_twice or os.getpid() == 1  # to process 1 the default action is none
        self._first: dict[int, float] = {}
        """Time of the first signal of each kind."""

    def install(self) -> None:
        """Install the handlers: the first signal is noted, and the same once more ends the process at once.

        A signal that the parent has set to be ignored, as nohup does with SIGHUP, stays ignored.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.caught = signal.Signals(number).name
        if not self._may_come_twice:
            signal.signal(number, signal.SIG_DFL)
        elif time.monotonic() - self._first.setdefault(number, time.monotonic()) > TWICE_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            if os.getpid() == 1:  # which survives that
                os._exit(128 + number)
