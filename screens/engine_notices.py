"""Notices about the engine: an answer that is due, one that is late, a failure, an engine that has ended, and its restart."""

import time

from textual.binding import Binding
from textual.timer import Timer

from lab.views.blocks import View
from screens.about_key import keyless
from screens.background import DelayedCall
from screens.base_screen import LabScreen
from screens.blocks.block_view import BlockView
from screens.engine_client import Engine
from screens.widgets.status_line import StatusLine

PENDING_AFTER = 0.12
"""Seconds without an answer after which the view is marked as pending; quicker answers need no mark."""

SLOW_AFTER = 2.0
"""Seconds without an answer after which the status line counts them, and the key that restarts the engine works."""

LOADS_WITHIN = 20.0
"""Seconds that loading may take on a slow machine: before that, an engine that loads is not called stuck."""

SECONDS_BETWEEN_PULSES = 1.0

TURNS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
"""Signs of the mark that moves while an engine loads."""

SECONDS_BETWEEN_TURNS = 0.2

STARTING = "Loading PyTorch and the model… (a few seconds, once)"
LOADING = "Loading PyTorch and the model"
WAITING = "No answer from the engine"
ENDED = "The engine has ended. The next key starts another; nothing on screen is lost."


def restart_binding(id: str) -> Binding:
    """The action that restarts an engine which does not answer, `restart_engine`."""
    return keyless("restart_engine", id, "End an engine that does not answer, and start another", "Restart engine")


class EngineNotices:
    """Sentences about the engine in a screen's status line, and the mark of a pending view."""

    def __init__(
        self, screen: LabScreen, engine: Engine, view: BlockView, status: StatusLine, *, says_pending: bool = False
    ) -> None:
        """With `says_pending`, the status line tells of the answer that is due as soon as the view is marked."""
        self._screen, self._engine, self._view, self._status = screen, engine, view, status
        self._says_pending = says_pending
        self._turns = 0
        self._turning: Timer | None = None
        self._pending_since: float | None = None
        """Since when an answer is due, in monotonic time."""
        self._marking = DelayedCall(screen)
        self.due = LOADING
        """The work that an answer waits for, in words."""
        self.current = ""
        """The notice that stays in the status line until the next answer."""

    def begin(self) -> None:
        self.say(STARTING)
        self._screen.set_interval(SECONDS_BETWEEN_PULSES, self.pulse)
        self._turning = self._screen.set_interval(SECONDS_BETWEEN_TURNS, self._turn)

    def _turn(self) -> None:
        """Move the mark of an engine that loads; it stands still, and goes, when the engine is dead or has answered."""
        loads = self.due == LOADING and self._pending_since is not None and self._engine.pid is not None
        self._turns += 1
        self._status.mark = TURNS[self._turns % len(TURNS)] if loads else ""
        if self.due != LOADING and self._turning is not None:
            self._turning.pause()

    def say(self, words: str, *, error: bool = False) -> None:
        self.current = words
        self._status.say(words, error=error)

    @property
    def waited(self) -> float:
        """Seconds since the first question that nothing has answered yet; 0 where no answer is due."""
        return 0.0 if self._pending_since is None else time.monotonic() - self._pending_since

    @property
    def may_restart(self) -> bool:
        """True once the engine has been silent for long enough to be replaced."""
        return self.waited >= SLOW_AFTER

    def asked(self) -> None:
        """An answer is due from now on."""
        if self._pending_since is None:
            self._pending_since = time.monotonic()
            self._marking.start(PENDING_AFTER, self._mark)

    def answered(self) -> None:
        """The view that was asked for is shown."""
        if self.current:
            self.say("")
        self._stop()

    def show_progress(self, view: View) -> None:
        """Show how far a slow view has come; its next part is due."""
        self._view.show(view)
        self.answered()
        self.asked()

    def failed(self, sentence: str) -> None:
        """The engine has refused, or died."""
        self._stop()
        self._view.wait(False)
        self.say(sentence, error=True)

    def _stop(self) -> None:
        self._marking.cancel()
        self._pending_since = None
        self._status.mark = ""

    def _mark(self) -> None:
        if self._view.view is None:
            return
        self._view.wait(True)
        if self._says_pending:
            self._status.say(f"{self.due}…")

    def pulse(self) -> None:
        """Tell of an engine that does not answer, and of one that ended while no answer was due."""
        if self.may_restart:
            may_be_stuck = self.due != LOADING or self.waited >= LOADS_WITHIN
            advice = " If it is stuck, ctrl+p, “restart”, starts another." if may_be_stuck else ""
            self.say(f"{self.due}… {self.waited:.0f} s.{advice}")
            self._screen.refresh_bindings()
        has_ended = self._engine.starts > 0 and self._engine.pid is None
        if has_ended and self._pending_since is None and not self.current:
            self.say(ENDED, error=True)
