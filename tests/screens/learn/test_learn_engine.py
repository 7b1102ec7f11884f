"""The engine of Learn: how it tells that an answer waits for PyTorch."""

import asyncio
from typing import Any

from lab.engine.method_registry import OPEN, OpenParams
from screens.learn.learn_engine import LearnEngine


class OneStart:
    """Answers at once; `pid` is None once its process was killed, as of the real client."""

    starts = 1
    pid: int | None = 1

    async def call(self, method: Any, params: Any, *, group: str | None = None, ahead: bool = False) -> Any:
        return "facts"

    async def kill(self) -> None: ...

    async def close(self) -> None: ...


async def test_after_a_killed_engine_an_answer_waits_for_pytorch_again() -> None:
    process = OneStart()
    engine = LearnEngine(process)
    assert engine.is_loading
    answers: list[Any] = []
    engine.ask("live", OPEN, OpenParams(run="demo"), answers.append, answers.append)
    while not engine.is_idle:
        await asyncio.sleep(0)
    assert answers == ["facts"]
    assert not engine.is_loading
    process.pid = None
    assert engine.is_loading
