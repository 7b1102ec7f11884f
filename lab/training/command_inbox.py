"""Inbox of a trainer: commands from control/, and SIGTERM, SIGINT and SIGHUP, noted when they arrive and obeyed between steps."""

import os
import signal
import time
from pathlib import Path
from types import FrameType

from lab.runs.run_control import Command, take_commands

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


POLL_SECONDS = 0.05
"""Interval between polls of control/; one takes some microseconds."""


class StopRequestedError(Exception):
    """A signal or a command wants the training to end. `by` says which, `save` whether the state at hand is to be saved."""

    def __init__(self, by: str, save: bool = True) -> None:
        super().__init__(by)
        self.by = by
        self.save = save


class CommandInbox:
    """Commands in the order of arrival. The end is not queued: it is raised."""

    def __init__(self, folder: Path, signals: StopSignals) -> None:
        self._folder = folder
        self._signals = signals
        self._waiting: list[Command] = []
        self._polled = 0.0

    @property
    def stop_requested_by(self) -> str:
        """A signal's name, or "stop"; empty while nothing asks for the end."""
        if self._signals.caught:
            return self._signals.caught
        return "stop" if any(command.name in ("stop", "discard") for command in self._waiting) else ""

    def poll(self) -> None:
        """Fetch new commands; free of cost if called again within `POLL_SECONDS`.

        Raises:
            StopRequestedError: at a command to stop, and at a signal.
        """
        if not self._signals.caught:
            self._fetch()
        if by := self.stop_requested_by:
            raise StopRequestedError(by)

    def _fetch(self) -> None:
        now = time.monotonic()
        if now - self._polled >= POLL_SECONDS:
            self._polled = now
            self._waiting += take_commands(self._folder)

    def next(self) -> Command | None:
        """The next command, if there is one. Raises what `poll` does."""
        self.poll()
        return self._waiting.pop(0) if self._waiting else None

    def wait(self, seconds: float) -> None:
        """Wait until the time is up, the command to resume comes, which is removed, or something new asks for the end.

        Raises:
            StopRequestedError: at the command to discard what is not saved. Nothing else ends the training from here.
        """
        deadline, before = time.monotonic() + seconds, self.stop_requested_by
        while time.monotonic() < deadline and self.stop_requested_by == before:
            self._fetch()
            if any(command.name == "discard" for command in self._waiting):
                raise StopRequestedError("stop", save=False)
            if resume := next((command for command in self._waiting if command.name == "resume"), None):
                self._waiting.remove(resume)
                return
            time.sleep(POLL_SECONDS)
