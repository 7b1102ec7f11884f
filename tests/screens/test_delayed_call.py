"""Delayed calls: cancelled or replaced when the timer has run out already, but its event has not been handled."""

import asyncio
import time

import pytest
from textual.app import App

from screens.background import DelayedCall

SECONDS = 0.02


async def ran_out(trips: int) -> None:
    """Let the time pass in one piece, and then the event loop turn so many times: the timer's event is somewhere on its way."""
    await asyncio.sleep(0)
    time.sleep(2 * SECONDS)
    for _ in range(trips):
        await asyncio.sleep(0)


async def called_by_then(app: App[None], calls: list[str]) -> list[str]:
    await asyncio.sleep(3 * SECONDS)
    await asyncio.wait_for(_turn(app), 30)
    return calls


async def _turn(app: App[None]) -> None:
    handled = asyncio.Event()
    app.call_later(handled.set)
    await handled.wait()


async def begun(app: App[None], trips: int) -> tuple[DelayedCall, list[str]]:
    """A delayed call whose time has run out, and the calls made by then: none, or it."""
    calls: list[str] = []
    call = DelayedCall(app)
    call.start(SECONDS, lambda: calls.append("first"))
    await ran_out(trips)
    return call, calls


@pytest.mark.parametrize("trips", range(8))
async def test_what_was_cancelled_is_not_called(trips: int) -> None:
    app: App[None] = App()
    async with app.run_test():
        call, calls = await begun(app, trips)
        before = list(calls)
        call.cancel()
        assert await called_by_then(app, calls) == before


@pytest.mark.parametrize("trips", range(8))
async def test_the_next_call_takes_the_place_of_one_that_was_not_made(trips: int) -> None:
    app: App[None] = App()
    async with app.run_test():
        call, calls = await begun(app, trips)
        before = list(calls)
        call.start(SECONDS, lambda: calls.append("second"))
        async with asyncio.timeout(30):
            while calls == before:
                await asyncio.sleep(SECONDS)
        assert await called_by_then(app, calls) == [*before, "second"]
