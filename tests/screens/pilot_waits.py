"""Keys and clicks with the wait for what they change, and what is on the screen."""

import asyncio
import unicodedata
from collections.abc import Callable, Iterable
from inspect import getsource
from pathlib import Path
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


async def wait_until(pilot: "Pilot[Any]", condition: Callable[[], object]) -> None:
    """Wait until a condition holds and everything posted has been handled, and fail after a minute without it."""
    try:
        async with asyncio.timeout(60):
            await settle(pilot)
            if not condition():
                while not condition():
                    await asyncio.sleep(0.005)
                await settle(pilot)
    except TimeoutError:
        seen = "\n".join(rows_of(pilot))
        raise AssertionError(f"not within a minute: {getsource(condition).strip()}\n{seen}") from None


async def click_on(pilot: "Pilot[Any]", words: str) -> None:
    """Click into words on the screen, once they are there."""
    await wait_until(pilot, lambda: any(words in row for row in rows_of(pilot)))
    y, x = next((y, row.index(words)) for y, row in enumerate(rows_of(pilot)) if words in row)
    await pilot.click(offset=(x + 1, y))


async def press(pilot: "Pilot[Any]", *keys: str) -> None:
    """Press keys, and wait until what they change is drawn."""
    for key in keys:
        await type_key(pilot, key)
    await settle(pilot)


async def type_key(pilot: "Pilot[Any]", key: str) -> None:
    """Press a key, and wait until what it has posted is handled: sooner than the pilot, which waits for an idle processor."""
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
    pumps, quiet = [pilot.app, *pilot.app.screen.walk_children(with_self=True)], 0
    while quiet < TURNS:
        await asyncio.sleep(0)
        quiet = 0 if any(each.message_queue_size for each in pumps) else quiet + 1


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
