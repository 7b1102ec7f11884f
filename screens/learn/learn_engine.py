"""The engine as Learn asks it: only the newest question of each widget is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lab.engine.client import EngineDied, EngineError
from lab.engine.method_registry import RELEASE, EngineMethod, ReleaseParams
from screens.engine_client import Engine

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Refused:
    """An answer that did not come: the sentence that says why."""

    sentence: str
    engine_died: bool


class LearnEngine:
    """Asks the shared engine for the live widgets."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asking: dict[str, asyncio.Task[None]] = {}
        self.kept: dict[str, Any] = {}
        """Work of the user that a live widget keeps for the next step that shows it, by the widget's name."""
        self._starts_answered = 0
        """Number of the start of the process that has answered last."""

    @property
    def is_idle(self) -> bool:
        """True when every question has been answered, refused or replaced."""
        return not self._asking

    @property
    def is_loading(self) -> bool:
        """True until the engine has answered once: the first answer waits for PyTorch, also after an engine that was killed."""
        return self._starts_answered != self._engine.starts or self._engine.pid is None

    def ask(
        self, key: str, method: EngineMethod[P, R], params: P, answered: Callable[[R], Any], refused: Callable[[Refused], Any]
    ) -> None:
        """Ask; one of the two is called with the answer. A newer question of the same key replaces an older one."""

        async def asking() -> None:
            try:
                answer = await self._engine.call(method, params)
            except EngineDied as died:
                refused(Refused(f"{died} The next key starts another engine.", True))
            except EngineError as error:
                self._starts_answered = self._engine.starts
                refused(Refused(str(error), False))
            else:
                self._starts_answered = self._engine.starts
                answered(answer)

        self.forget(key)
        task = asyncio.create_task(asking(), name=f"learn {key}")
        self._asking[key] = task
        task.add_done_callback(lambda ended: self._ended(key, ended))

    def forget(self, key: str) -> None:
        """Give up the question of this key, if there is one."""
        task = self._asking.pop(key, None)
        if task is not None:
            task.cancel()

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        if self._asking.get(key) is task:
            del self._asking[key]
        if not task.cancelled():
            task.result()  # a fault of the lab is raised, not kept silent

    async def release(self, path: Path) -> None:
        """Close the run in this folder, so that it can be renamed or deleted."""
        if self._engine.pid is not None:
            with suppress(EngineDied):  # then it holds nothing
                await self._engine.call(RELEASE, ReleaseParams(path=str(path)))

    async def close(self) -> None:
        for key in list(self._asking):
            self.forget(key)
        await self._engine.close()
