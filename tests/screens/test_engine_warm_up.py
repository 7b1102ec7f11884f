"""An engine is started ahead of time only where nobody loses by it."""

import asyncio
import contextlib
from typing import Any

import pytest

from screens import engine_client
from screens.engine_client import EngineWarmUp


class Started:
    """An engine that starts at once and counts what is asked of it."""

    made: list["Started"] = []

    def __init__(self) -> None:
        self.low_priority: bool | None = None
        self.killed = False
        Started.made.append(self)

    async def start(self, *, low_priority: bool = False) -> None:
        self.low_priority = low_priority

    async def kill(self) -> None:
        self.killed = True


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Started]:
    monkeypatch.setattr(engine_client, "EngineClient", Started)
    monkeypatch.setattr(engine_client, "SECONDS_BETWEEN_TRIES", 0.001)
    monkeypatch.setattr(engine_client, "has_spare_capacity", lambda: True)
    Started.made = []
    return Started.made


async def test_an_idle_machine_gets_one_engine_with_low_priority_unless_one_was_needed_before(
    engines: list[Started],
) -> None:
    too_late = EngineWarmUp(lambda: True)
    assert too_late.take() is None
    await too_late.run()
    assert engines == []
    warm_up = EngineWarmUp(lambda: True)
    await warm_up.run()
    assert [engine.low_priority for engine in engines] == [True]
    taken: Any = warm_up.take()
    assert taken is engines[0]
    assert warm_up.take() is None
    await warm_up.end()
    assert not engines[0].killed, "it belongs to whoever took it"


@pytest.mark.parametrize(("welcome", "spare"), [(False, True), (True, False)])
async def test_none_is_started_while_a_run_trains_or_the_machine_is_busy(
    welcome: bool, spare: bool, engines: list[Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {"welcome": welcome, "spare": spare}
    monkeypatch.setattr(engine_client, "has_spare_capacity", lambda: now["spare"])
    warm_up = EngineWarmUp(lambda: now["welcome"])
    task = asyncio.create_task(warm_up.run())
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), 0.1)
    assert engines == []
    now.update(welcome=True, spare=True)
    await asyncio.wait_for(task, 10)
    assert len(engines) == 1
    await warm_up.end()
    assert engines[0].killed, "nobody took it"
