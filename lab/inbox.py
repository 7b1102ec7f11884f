"""What reaches a trainer from outside while it works: commands and signals."""

import time
from pathlib import Path

from lab import control
from lab.control import Command, CommandName
from lab.signals import Signals

POLL_SECONDS = 0.05
"""How often control/ is looked at; a look costs some microseconds."""


class EndAskedError(Exception):
    """A signal or a command wants the training to end. `by` says which, `save` whether the state at hand may be saved."""

    def __init__(self, by: str, save: bool = True) -> None:
        super().__init__(by)
        self.by = by
        self.save = save


class Inbox:
    """Commands in the order in which they came. To stop is not kept waiting: it is raised."""

    def __init__(self, folder: Path, signals: Signals) -> None:
        self._folder = folder
        self._signals = signals
        self._waiting: list[Command] = []
        self._polled = 0.0

    def poll(self) -> None:
        """Fetches what is new; costs nothing if called again within `POLL_SECONDS`.

        Raises:
            EndAskedError: at a command to stop, and at a signal.
        """
        if self._signals.caught:
            raise EndAskedError(self._signals.caught)
        now = time.monotonic()
        if now - self._polled < POLL_SECONDS:
            return
        self._polled = now
        self._waiting += control.take(self._folder)
        if any(command.name == "stop" for command in self._waiting):
            raise EndAskedError("stop")

    def next(self) -> Command | None:
        """The command that has waited longest, if any is there. Raises what `poll` does."""
        self.poll()
        return self._waiting.pop(0) if self._waiting else None

    def wait(self, seconds: float, until: CommandName) -> bool:
        """Waits for a command, which is taken; True if it came, False when the time is up. Raises what `poll` does."""
        give_up = time.monotonic() + seconds
        while True:
            self.poll()
            for command in self._waiting:
                if command.name == until:
                    self._waiting.remove(command)
                    return True
            if time.monotonic() >= give_up:
                return False
            time.sleep(POLL_SECONDS)
