"""Signals that ask a trainer to end: noted when they come, acted upon between steps."""

import signal
from types import FrameType

NAMES = ("SIGTERM", "SIGINT", "SIGHUP")


class Signals:
    """Which signal has asked to end, if one has."""

    def __init__(self) -> None:
        self.caught: str | None = None

    def watch(self) -> None:
        """From now on the first of these signals is noted, and the same once more ends the process at once.

        A signal that the parent has set to be ignored, as nohup does with SIGHUP, stays ignored.
        """
        for name in NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.caught = signal.Signals(number).name
        signal.signal(number, signal.SIG_DFL)
