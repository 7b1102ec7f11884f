"""The engine as the screens use it: the interface, a loop that answers the newest question only, and the warm-up.

The warm-up imports PyTorch before Inspect is opened, where it disturbs nothing: no run trains here, most cores idle, memory is
free, and no benchmark runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from lab.core.machine import has_spare_capacity
from lab.engine.client import EngineClient, EngineDied, EngineError
from lab.engine.method_registry import EngineMethod

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
