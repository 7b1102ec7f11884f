"""Background work: a late answer touches no removed widget; delayed calls are cancelled when their timer has run out already."""

import asyncio
import threading
import time
from itertools import product
from random import Random

from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.widgets import Static
from textual.worker import get_current_worker

from screens.background import DelayedCall, in_thread, latest
from tests.screens.pilot_waits import LONGEST_WAIT, poll, settle

SECONDS = 0.005


async def begun(app: App[None], trips: int) -> tuple[DelayedCall, list[str]]:
    """A delayed call whose time has run out, and the calls made by then: none, or it.

    The event loop turns so many times after that, so that the timer's event is somewhere on its way.
    """
    calls: list[str] = []
    call = DelayedCall(app)
    call.start(SECONDS, lambda: calls.append("first"))
    await asyncio.sleep(0)
    time.sleep(2 * SECONDS)
    for _ in range(trips):
        await asyncio.sleep(0)
    return call, calls


async def test_what_was_cancelled_is_not_called_but_the_next_call_in_its_place() -> None:
    app: App[None] = App()
    async with app.run_test() as pilot:
        for trips, next_call in product(range(8), ("", "second")):
            call, calls = await begun(app, trips)
            expected = [*calls, *filter(None, [next_call])]
            if next_call:
                call.start(SECONDS, lambda calls=calls: calls.append("second"))
            else:
                call.cancel()
            await poll(pilot, lambda calls=calls, expected=expected: len(calls) >= len(expected), pause=SECONDS)
            await asyncio.sleep(3 * SECONDS)
            handled = asyncio.Event()
            app.call_later(handled.set)
            await asyncio.wait_for(handled.wait(), 30)
            assert calls == expected, (trips, next_call)


REMOVALS = 120
"""Twice as many as it took to see a late answer touch a removed widget each time."""
AT_ONCE = 60
IN_A_BOX = 5


class Answered(Static):
    """Shows in a child what a thread answers."""

    def compose(self) -> ComposeResult:
        yield Static(id="answer")

    @latest("answer")
    async def ask(self, seconds: float) -> None:
        for _ in range(3):
            await in_thread(time.sleep, seconds)
            assert self.is_attached
            self.query_one("#answer", Static).update("answered")


async def test_a_widget_that_is_removed_is_touched_by_no_late_answer() -> None:
    chance = Random(1)
    app: App[None] = App()
    async with app.run_test():
        for _ in range(REMOVALS // AT_ONCE):
            widgets = [Answered() for _ in range(AT_ONCE)]
            await app.mount(*(Vertical(*widgets[at : at + IN_A_BOX]) for at in range(0, AT_ONCE, IN_A_BOX)))
            for widget in widgets:
                widget.ask(chance.random() / 2_000)
            for widget in chance.sample(widgets, AT_ONCE):
                box = widget.parent
                (box if isinstance(box, Vertical) and chance.random() < 1 / IN_A_BOX else widget).remove()
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
            await app.screen.remove_children()
            assert not app._exception  # an answer that finds no child ends the app


async def test_only_the_newest_answer_is_shown_and_the_thread_before_is_told() -> None:
    told = threading.Event()

    class Page(Static):
        shown: list[str]

        @latest("answer")
        async def ask(self, words: str, wait: bool) -> None:
            self.shown.append(await in_thread(self._answer, words, wait))

        @staticmethod
        def _answer(words: str, wait: bool) -> str:
            limit = time.monotonic() + LONGEST_WAIT
            while wait and not get_current_worker().is_cancelled and time.monotonic() < limit:
                time.sleep(0.001)
            if wait:
                told.set()
            return words

    app: App[None] = App()
    async with app.run_test() as pilot:
        page = Page()
        page.shown = []
        await app.mount(page)
        page.ask("old", True)
        await asyncio.sleep(0.01)
        page.ask("new", False)
        await asyncio.wait_for(asyncio.to_thread(told.wait), 30)
        await settle(pilot)
        assert page.shown == ["new"]
