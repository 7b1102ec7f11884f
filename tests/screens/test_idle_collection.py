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
    passes: list[float] = []
    monkeypatch.setattr(gc, "collect", lambda: passes.append(asyncio.get_running_loop().time()))
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, idle_collection.WORTH_A_PASS))
    collection = IdleCollection()
    assert gc.get_threshold()[2] == PASSES_BETWEEN_FULL
    monkeypatch.setattr(idle_collection, "SECONDS_UNTIL_IDLE", 60.0)
    for _ in range(3):
        collection.key_pressed()
    monkeypatch.setattr(idle_collection, "SECONDS_UNTIL_IDLE", 0.05)
    pressed = asyncio.get_running_loop().time()
    collection.key_pressed()
    await asyncio.sleep(0.1)
    assert len(passes) == 1
    assert passes[0] >= pressed + 0.04
    assert not [timer for timer in asyncio.get_running_loop()._scheduled if not timer.cancelled()], "of the keys before"  # type: ignore[attr-defined]
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, 0))
    collection.key_pressed()
    await asyncio.sleep(0.1)
    assert len(passes) == 1
