"""Full passes of the cycle collector wait for a pause between the keys."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from screens import idle_collection
from screens.idle_collection import PASSES_BETWEEN_FULL, IdleCollection


@pytest.fixture(autouse=True)
def _thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


async def test_a_full_pass_comes_after_the_last_key_and_only_if_there_is_something_to_look_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idle_collection, "SECONDS_UNTIL_IDLE", 0.05)
    passes: list[float] = []
    monkeypatch.setattr(gc, "collect", lambda: passes.append(asyncio.get_running_loop().time()))
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, idle_collection.WORTH_A_PASS))
    collection = IdleCollection()
    assert gc.get_threshold()[2] == PASSES_BETWEEN_FULL
    for _ in range(4):
        collection.key_pressed()
        await asyncio.sleep(0.01)
    assert passes == []
    await asyncio.sleep(0.2)
    assert len(passes) == 1
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, 0))
    collection.key_pressed()
    await asyncio.sleep(0.2)
    assert len(passes) == 1
