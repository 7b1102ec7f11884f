"""Warm-up of the engine: PyTorch is imported while the user is still elsewhere, so that Inspect need not wait for it.

Only where nobody loses by it: no run is training here, most cores idle, memory is free, and no benchmark runs. Whoever only
watches training on a busy machine never gets an engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lab.core.machine import has_spare_capacity
from lab.engine.client import EngineClient, EngineDied

SECONDS_BETWEEN_TRIES = 10.0


class EngineWarmUp:
    """An engine that nobody uses yet."""

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
                    await engine.start(gently=True)
                except EngineDied:
                    return  # whoever needs an engine starts one, and says what is wrong
                self._engine, self._is_over = engine, True
                return
            await asyncio.sleep(SECONDS_BETWEEN_TRIES)

    def take(self) -> EngineClient | None:
        """The engine, if one was started; from now on none will be."""
        engine, self._engine, self._is_over = self._engine, None, True
        return engine

    async def end(self) -> None:
        """End an engine that nobody took."""
        engine = self.take()
        if engine is not None:
            await engine.kill()
