"""The real engine's methods for a screen, without a process: real numbers, one request after the other."""

import asyncio
from collections.abc import Generator
from typing import Any

from lab.core.errors import UserError
from lab.engine.client import EngineError
from lab.engine.method_registry import EngineMethod
from tests.screens.fake_wire import received_params, received_result


class InProcessEngine:
    """Answers every method as the engine process does. `calls` lists what was asked."""

    def __init__(self) -> None:
        from lab.engine.method_bindings import implementations
        from lab.inspect.model_cache import ModelCache

        self._functions = {each.method.name: each.function for each in implementations(ModelCache())}
        self.calls: list[tuple[str, Any]] = []
        self.starts = 1
        self.pid: int | None = 1

    async def call(self, method: EngineMethod[Any, Any], params: Any, *, group: str | None = None, ahead: bool = False) -> Any:
        asked = received_params(method, params)
        self.calls.append((method.name, asked))
        try:
            result = await self._result(method, asked)
        except UserError as error:
            raise EngineError(str(error)) from error
        return received_result(method, result)

    async def _result(self, method: EngineMethod[Any, Any], asked: Any) -> Any:
        import torch

        with torch.no_grad():  # as the process does
            result: Any = self._functions[method.name](asked)
        while isinstance(result, Generator):
            with torch.no_grad():
                try:
                    next(result)
                except StopIteration as end:
                    return end.value
            await asyncio.sleep(0)
        return result

    async def kill(self) -> None:
        self.pid = None

    async def close(self) -> None:
        pass
