"""Waiting for room on a full disk instead of giving up hours of training."""

from collections.abc import Callable

from lab.core.atomic_io import is_full, os_error_in_words
from lab.training.status_file import StatusBoard
from lab.training.trainer_inbox import TrainerInbox
from lab.training.training_clock import Clock

ROOM_SECONDS = 5.0
"""How often a full disk is tried again."""


class DiskFullRetry:
    """Writes that wait, as if training were paused, until there is room for them."""

    def __init__(self, board: StatusBoard, clock: Clock, inbox: TrainerInbox) -> None:
        self._board = board
        self._clock = clock
        self._inbox = inbox

    def do(self, what: str, action: Callable[[], None], last_saved: str) -> str:
        """Runs `action`, which writes, until the disk has room for it: again every `ROOM_SECONDS`, and when told to resume.

        `what` and `last_saved` complete the sentence that the status shows meanwhile, which is returned; empty if there was no
        waiting.

        Raises:
            UserError: if writing fails for another reason.
            EndAskedError: if the user says to discard what is not saved. To stop and signals wait for room, too: whoever asked
                for the end finds it asked for still when the write is done.
        """
        phase, message = self._board.status.phase, self._board.status.message
        waited = ""
        while True:
            try:
                action()
                break
            except OSError as error:
                if not is_full(error):
                    raise os_error_in_words(error, what) from error
            stopping = bool(self._inbox.end_asked_by)
            waited = f"Paused because the disk is full: there is no room to {what}. {last_saved}"
            waited += " It stops as soon as there is room." if stopping else ""
            self._clock.stop()
            self._board.update("paused", message=waited, no_room=True, stopping=stopping)
            self._inbox.wait(ROOM_SECONDS, "resume")
        if waited:
            if phase == "training":
                self._clock.start()
            self._board.update(phase, message=message, no_room=False, stopping=False)
        return waited
