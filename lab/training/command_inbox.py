"""Inbox of a trainer: commands from control/, and signals that ask it to end, obeyed between steps."""

import time
from pathlib import Path

from lab.runs.run_control import Command, take_commands
from lab.training.stop_signals import StopSignals

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
