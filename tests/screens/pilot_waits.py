"""Keys and clicks with the wait for what they change, and what is on the screen."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lab.runs import home_folder

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
"""Sizes of the terminal in pictures."""


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
