"""Waits of Textual's pilot, for events instead of the clock; keys and clicks with the wait for what they change.

Textual's own sleep for a fiftieth of a second at least, twice for each key, and post a message to every widget. These return as
soon as nothing is left to do, which is the same moment on an idle machine, and a later one on a busy machine.
"""

import asyncio
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
from textual.message_pump import MessagePump
from textual.pilot import Pilot
from textual.screen import Screen

from lab.runs import home_folder

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
"""Sizes of the terminal in pictures."""

MOMENT = 0.02
"""Seconds in which a timer, or a thread's answer, still belongs to what was just done: those that Textual sleeps."""
LONGEST = 10.0
"""Seconds after which a loop that never rests is given up; Textual's one is often too few on a busy machine."""

_threads: "set[asyncio.Future[Any]]" = set()


def count_thread(future: "asyncio.Future[Any]") -> "asyncio.Future[Any]":
    """Wait for this work of a thread, too."""
    _threads.add(future)
    future.add_done_callback(_threads.discard)
    return future


async def wait_for_idle(min_sleep: float = 0.0, max_sleep: float = LONGEST) -> None:
    """Let the event loop run until nothing is ready, no thread works for it, and no timer ends within a moment."""
    loop: Any = asyncio.get_running_loop()
    begun = loop.time()
    while loop.time() < begun + max_sleep:
        await asyncio.sleep(0)
        if loop._ready:
            continue
        now = loop.time()
        due = min((handle.when() for handle in loop._scheduled if not handle.cancelled()), default=math.inf)
        works = any(future.get_loop() is loop for future in _threads)
        if now >= begun + MOMENT or (due >= begun + MOMENT and not works):
            break
        await asyncio.sleep(min(max(due - now, 0.0), 0.001 if works else MOMENT))
    paint_due()


_paint = Screen._compositor_refresh
_due: "WeakSet[Screen[Any]]" = WeakSet()


def paint_later(screen: "Screen[Any]") -> None:
    """Paint once, when the app rests: nobody sees what a test's app paints on the way there."""
    if screen is screen.app.screen:
        _due.add(screen)
        screen._dirty_widgets.clear()
        screen.app._update_mouse_over(screen)
    else:
        _paint(screen)


def paint_due() -> None:
    """Paint the screens in sight that have something new."""
    due = list(_due)
    _due.clear()
    for screen in due:
        if screen.is_running and screen is screen.app.screen:
            _paint(screen)


async def wait_for_screen(pilot: "Pilot[Any]", timeout: float = 30.0) -> bool:
    """Wait until the app, its screen and their widgets have handled the messages that they have now."""
    app = pilot.app
    if not app._screen_stack:
        return False
    busy = [pump for pump in (app, *app.screen.walk_children(with_self=True)) if not _is_waiting(pump)]
    handled = [asyncio.Event() for _ in busy]
    waits = [event.wait() for pump, event in zip(busy, handled, strict=True) if pump.call_later(event.set)]
    if not waits:
        return True
    all_handled = asyncio.ensure_future(asyncio.gather(*waits))
    failed = asyncio.ensure_future(app._exception_event.wait())
    await asyncio.wait([all_handled, failed], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    failed.cancel()
    if all_handled.done():
        return True
    all_handled.cancel()
    assert app._exception_event.is_set(), f"not handled within {timeout} s by {busy}"
    return False


def _is_waiting(pump: MessagePump) -> bool:
    """True if it has handled all its messages and waits for another."""
    queue: Any = pump._message_queue
    return queue.empty() and bool(queue.ready_event._waiters) and pump._pending_message is None


def rows_of(pilot: "Pilot[Any]") -> list[str]:
    """The lines that are on the screen."""
    return ["".join(segment.text for segment in strip) for strip in pilot.app.screen._compositor.render_strips()]


async def click_on(pilot: "Pilot[Any]", words: str) -> None:
    """Click into words that are on the screen."""
    y, x = next((y, row.index(words)) for y, row in enumerate(rows_of(pilot)) if words in row)
    await pilot.click(offset=(x + 1, y))


async def press(pilot: "Pilot[Any]", *keys: str) -> None:
    """Press keys, and wait until what they change is drawn."""
    await pilot.press(*keys)
    await pilot.pause()


async def press_until(pilot: "Pilot[Any]", key: str, condition: Callable[[], object]) -> None:
    """Press a key until a condition holds, however many times that takes."""
    for _ in range(100):
        if condition():
            return
        await press(pilot, key)
    raise AssertionError(f"{key} does not lead there:\n" + "\n".join(rows_of(pilot)))


async def resize(pilot: "Pilot[Any]", width: int, height: int) -> None:
    """Give the terminal another size, and wait until it is drawn."""
    await pilot.resize_terminal(width, height)
    await pilot.pause()


def keys_to(name: str, names: Iterable[str], start: str = "") -> list[str]:
    """Keys that lead from the first of a list's names, or from `start`, to another."""
    listed = list(names)
    steps = listed.index(name) - (listed.index(start) if start else 0)
    return ["j" if steps > 0 else "k"] * abs(steps)


def show_home_as(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """Have the screens name another folder as the home; the runs are found where they are."""
    here = home_folder.runs_home()
    for module in ("find_runs", "run_summary"):
        monkeypatch.setattr(f"lab.runs.{module}.runs_home", lambda: here)
    monkeypatch.setattr(home_folder, "home", lambda: Path(folder))
