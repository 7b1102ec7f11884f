"""The engine as the screens use it: the interface, a loop that answers the newest question only, and the warm-up.

The warm-up imports PyTorch before Inspect is opened, where it disturbs nothing: no run trains here, most cores idle, memory is
free, and no benchmark runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from textual.binding import Binding
from textual.timer import Timer

from lab.core.machine import has_spare_capacity
from lab.engine.client import EngineClient, EngineDied, EngineError
from lab.engine.method_registry import EngineMethod
from lab.views.blocks import View
from screens.about_key import keyless
from screens.background import DelayedCall
from screens.base_screen import LabScreen
from screens.blocks.block_view import BlockView
from screens.widgets.status_line import StatusLine

SECONDS_BETWEEN_TRIES = 10.0


class EngineWarmUp:
    """An engine started ahead of its first use."""

    def __init__(self, is_welcome: Callable[[], bool]) -> None:
        """`is_welcome` says whether an engine may be started now, as far as the app knows."""
        self._is_welcome = is_welcome
        self._engine: EngineClient | None = None
        self._is_over = False

    async def run(self) -> None:
        """Start an engine as soon as the machine has room for it, unless it is taken before."""
        while not self._is_over:
            if self._is_welcome() and await asyncio.to_thread(has_spare_capacity) and not self._is_over:
                engine = EngineClient()
                try:
                    await engine.start(low_priority=True)
                except EngineDied:
                    return  # the first mode that needs an engine starts one, and says what is wrong
                self._engine, self._is_over = engine, True
                return
            await asyncio.sleep(SECONDS_BETWEEN_TRIES)

    def take(self) -> EngineClient | None:
        """The engine, if one was started; from now on none will be."""
        engine, self._engine, self._is_over = self._engine, None, True
        return engine

    async def end(self) -> None:
        """End an engine that was not taken."""
        engine = self.take()
        if engine is not None:
            await engine.kill()


P = TypeVar("P")
R = TypeVar("R")


class Engine(Protocol):
    """The part of `EngineClient` that a screen needs."""

    starts: int

    @property
    def pid(self) -> int | None: ...

    async def call(self, method: EngineMethod[P, R], params: P) -> R: ...

    async def kill(self) -> None: ...

    async def close(self) -> None: ...


Q = TypeVar("Q")


class NewestOnly(Generic[Q]):
    """`ask` sets the question and never waits; `serve` runs for ever, answers it, and looks ahead between the questions."""

    def __init__(
        self,
        answer: Callable[[Q], Coroutine[Any, Any, None]],
        look_ahead: Callable[[Q], Coroutine[Any, Any, None]],
        failed: Callable[[str, bool], None],
        patience: float,
    ) -> None:
        """`failed` takes the sentence of an error of the newest question, and whether the engine died of it.

        `patience`: seconds that an answer is still waited for after a newer question.
        """
        self._answer, self._look_ahead, self._failed, self._patience = answer, look_ahead, failed, patience
        self._question: Q
        self._newer = asyncio.Event()
        self._answering = False

    @property
    def is_idle(self) -> bool:
        """True when the newest question has been answered, or refused, and nothing more is fetched ahead."""
        return not self._answering and not self._newer.is_set()

    @property
    def has_newer(self) -> bool:
        """True when another question came while this one was worked on."""
        return self._newer.is_set()

    def ask(self, question: Q) -> None:
        self._question = question
        self._newer.set()

    async def serve(self) -> None:
        while True:
            await self._newer.wait()
            self._newer.clear()
            self._answering = True
            question = self._question
            try:
                await self._unless_newer(self._answer(question), self._patience)
                await self._unless_newer(self._look_ahead(question), 0)
            except EngineDied as died:
                self._failed(str(died), True)
            except EngineError as error:
                if not self.has_newer:
                    self._failed(str(error), False)
            finally:
                self._answering = False

    async def _unless_newer(self, work: Coroutine[Any, Any, None], patience: float) -> None:
        """Do the work, but give it up where it is not done `patience` seconds after a newer question."""
        task, newer = asyncio.create_task(work), asyncio.create_task(self._newer.wait())
        try:
            await asyncio.wait({task, newer}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({task}, timeout=patience)
        finally:
            newer.cancel()
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            if (current := asyncio.current_task()) is not None and current.cancelling():
                raise


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
        self.current = ""
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
