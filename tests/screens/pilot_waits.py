"""Keys and clicks with the wait for what they change, and what is on the screen."""

import asyncio
import unicodedata
from collections.abc import Callable, Iterable
from inspect import getsource
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from textual._compositor import LayoutUpdate
from textual.events import Key, Paste
from textual.keys import KEY_NAME_REPLACEMENTS, KEY_TO_UNICODE_NAME
from textual.pilot import Pilot

from lab.runs import home_folder

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
"""Sizes of the terminal in pictures."""


def rows_of(pilot: "Pilot[Any]") -> list[str]:
    """The lines that are on the screen."""
    app = pilot.app
    update = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    assert isinstance(update, LayoutUpdate)
    return ["".join(strip.text for strip in line) for line in update.strips]


LONGEST_WAIT = 60
"""Seconds after which a test no longer waits for what the screen should come to."""


def source_of(condition: Callable[[], object]) -> str:
    """What a condition asks, for the message of a test; its name where Python has no source of it."""
    try:
        return getsource(condition).strip()
    except OSError:
        return repr(condition)


async def poll(pilot: "Pilot[Any]", condition: Callable[[], object], pause: float = 0.005) -> None:
    """Ask again after each pause, in seconds, until a condition holds. Fail after a minute, or at once if the app has failed."""
    begun = perf_counter()
    while True:
        asked = perf_counter()
        if condition():
            return
        if pilot.app._exception is not None:
            raise AssertionError(f"the app has ended: {pilot.app._exception!r}; the test waited for {source_of(condition)}")
        if asked - begun > LONGEST_WAIT:
            seen = "\n".join(rows_of(pilot)) if pilot.app.screen_stack else "no screen: the app has ended"
            raise AssertionError(f"not within a minute: {source_of(condition)}\n{seen}")
        await asyncio.sleep(max(pause, 4 * (perf_counter() - asked)) if pause else 0)  # what draws the screen is asked less often


async def wait_until(pilot: "Pilot[Any]", condition: Callable[[], object]) -> None:
    """Wait until a condition holds and everything posted has been handled."""
    await settle(pilot)
    if not condition():
        await poll(pilot, condition)
        await settle(pilot)


async def click_on(pilot: "Pilot[Any]", words: str) -> None:
    """Click into words on the screen, once they are there."""
    await wait_until(pilot, lambda: any(words in row for row in rows_of(pilot)))
    y, x = next((y, row.index(words)) for y, row in enumerate(rows_of(pilot)) if words in row)
    await pilot.click(offset=(x + 1, y))


async def press(pilot: "Pilot[Any]", *keys: str) -> None:
    """Press keys, and wait until what they change is drawn."""
    await pilot.press(*keys)
    await settle(pilot)


async def type_key(pilot: "Pilot[Any]", key: str) -> None:
    """Press a key, and wait until what it has posted is handled: sooner than the pilot, which waits for an idle processor.

    For screens that say themselves when they are settled: a dialog that the key opens may not be there yet.
    """
    pilot.app.post_message(key_event(key))
    await handled(pilot)


def key_event(key: str) -> Key:
    """A key as the terminal's driver reports it, by its name or as the character itself."""
    if len(key) == 1:
        name = key if key.isalnum() else unicodedata.name(key).lower().replace("-", "_").replace(" ", "_")
        return Key(KEY_NAME_REPLACEMENTS.get(name, name), key)
    names = {short: long for long, short in KEY_NAME_REPLACEMENTS.items()}
    name = names.get(key, key)
    try:
        return Key(key, unicodedata.lookup(KEY_TO_UNICODE_NAME.get(name, name)))
    except KeyError:
        return Key(key, None)


TURNS = 8
"""Turns of the loop without a message, after which none is expected."""


async def handled(pilot: "Pilot[Any]") -> None:
    """Wait until no message waits, and none comes of those that did; what they change need not be drawn yet."""
    pumps, quiet = [pilot.app, *pilot.app.screen.walk_children(with_self=True)], -1

    def all_queues_stay_empty() -> bool:
        nonlocal quiet
        quiet = 0 if any(each.message_queue_size for each in pumps) else quiet + 1
        return quiet >= TURNS

    await poll(pilot, all_queues_stay_empty, pause=0)


async def settle(pilot: "Pilot[Any]") -> None:
    """Wait until what was posted has been handled and drawn."""
    await pilot.pause()


async def paste(pilot: "Pilot[Any]", text: str) -> None:
    """Paste into the field that has the focus, as a terminal does: at once, which waits once and not for each key."""
    pilot.app.post_message(Paste(text))
    await pilot.pause(0)
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
    await settle(pilot)


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
