"""The real engine's methods for a screen, without a process: real numbers, one request after the other."""

import asyncio
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

    async def call(self, method: EngineMethod[Any, Any], params: Any) -> Any:
        asked = received_params(method, params)
        self.calls.append((method.name, asked))
        try:
            result = await self._result(method, asked)
        except UserError as error:
            raise EngineError(str(error)) from error
        return received_result(method, result)

    async def _result(self, method: EngineMethod[Any, Any], asked: Any) -> Any:
        import torch

        await asyncio.sleep(0)
        with torch.no_grad():  # as the process does
            return self._functions[method.name](asked)

    async def kill(self) -> None:
        self.pid = None

    async def close(self) -> None:
        pass
