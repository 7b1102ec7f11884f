"""Retry of writes while the disk is full, instead of losing hours of training."""

from collections.abc import Callable

from lab.core.atomic_io import is_disk_full, os_error_in_words
from lab.training.command_inbox import CommandInbox
from lab.training.run_length import Clock
from lab.training.status_file import StatusBoard

RETRY_SECONDS = 5.0
"""Interval between retries."""


class DiskFullRetry:
    """Retry of writes: training is paused until there is room for them."""

    def __init__(self, board: StatusBoard, clock: Clock, inbox: CommandInbox) -> None:
        self._board = board
        self._clock = clock
        self._inbox = inbox

    def run(self, what: str, action: Callable[[], None], last_saved: str) -> str:
        """Run `action`, which writes, until the disk has room for it: again every `RETRY_SECONDS`, and at the command to resume.

        `what` and `last_saved` complete the message that the status shows meanwhile. Returns that message, or "" if there was
        room at once.

        Raises:
            UserError: if writing fails for another reason.
            StopRequestedError: if the user says to discard what is not saved. A command to stop and signals wait for room, too,
                and are obeyed once the write is done.
        """
        phase, message = self._board.status.phase, self._board.status.message
        waited, was_running = "", self._clock.is_running
        while True:
            try:
                action()
                break
            except OSError as error:
                if not is_disk_full(error):
                    raise os_error_in_words(error, what) from error
            stopping = bool(self._inbox.stop_requested_by)
            waited = f"Paused because the disk is full: there is no room to {what}. {last_saved}"
            waited += " It stops as soon as there is room." if stopping else ""
            self._clock.stop()
            self._board.update("paused", message=waited, no_room=True, stopping=stopping)
            self._inbox.wait(RETRY_SECONDS, "resume")
        if waited:
            if was_running:
                self._clock.start()
            self._board.update(phase, message=message, no_room=False, stopping=False)
        return waited
