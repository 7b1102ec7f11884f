"""Keys and clicks with the wait for what they change, and what is on the screen."""

import asyncio
from collections.abc import Callable, Iterable
from inspect import getsource
from pathlib import Path
from typing import Any

import pytest
from textual._compositor import LayoutUpdate
from textual.events import Paste
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
    await pilot.press(*keys)
    await settle(pilot)


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
