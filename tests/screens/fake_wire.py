"""The wire to the engine without a process: what crosses it is encoded and decoded with the types of the method's table entry.

And an engine on which nothing crosses it.
"""

import asyncio
from typing import Any, TypeVar

import msgspec

from lab.engine.method_registry import EngineMethod

P = TypeVar("P")
R = TypeVar("R")


def received_params(method: EngineMethod[P, Any], params: object) -> P:
    """The parameters as the engine would decode them. Raises: msgspec.ValidationError."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(params), type=method.params)


def received_result(method: EngineMethod[P, R], result: object) -> R:
    """The result as the client would decode it. Raises: msgspec.ValidationError."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(result), type=method.result)


class SilentEngine:
    """An engine that never answers."""

    pid: int | None = None
    starts = 0

    async def call(self, method: EngineMethod[Any, Any], params: Any) -> Any:
        received_params(method, params)
        await asyncio.Event().wait()

    async def kill(self) -> None: ...

    async def close(self) -> None: ...
