"""Engine as the screens see it: `lab.engine.client.EngineClient`, or a test's."""

from typing import Protocol, TypeVar

from lab.engine.method_registry import EngineMethod

P = TypeVar("P")
R = TypeVar("R")


class Engine(Protocol):
    """The part of `EngineClient` that a screen needs."""

    starts: int

    @property
    def pid(self) -> int | None: ...

    async def call(self, method: EngineMethod[P, R], params: P, *, group: str | None = None, ahead: bool = False) -> R: ...

    async def kill(self) -> None: ...

    async def close(self) -> None: ...
