"""SIGTERM, SIGINT and SIGHUP: noted when they arrive, obeyed between steps."""

import signal
from types import FrameType

NAMES = ("SIGTERM", "SIGINT", "SIGHUP")


class StopSignals:
    """Handler of the signals that ask a trainer to end; `caught` is the name of the first."""

    def __init__(self) -> None:
        self.caught: str | None = None

    def install(self) -> None:
        """Install the handlers: the first signal is noted, and the same once more ends the process at once.

        A signal that the parent has set to be ignored, as nohup does with SIGHUP, stays ignored.
        """
        for name in NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.caught = signal.Signals(number).name
        signal.signal(number, signal.SIG_DFL)
