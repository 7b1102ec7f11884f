"""A loop that answers the newest question only: an older one is given up when it takes too long."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from lab.engine.client import EngineDied, EngineError, Superseded

Q = TypeVar("Q")


class NewestOnly(Generic[Q]):
    """`ask` sets the question and never waits; `serve` runs for ever, answers it and looks ahead while nobody asks."""

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
            except Superseded:
                continue
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
