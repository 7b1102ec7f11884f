"""Pictures of Inspect at the two sizes it is made for."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from screens.app import LabApp

SIZES = [(80, 24), (120, 40)]
KEYS = {
    "embed": ["j"],
    "scores": ["j"] * 4,
    "scores-of-the-second": ["j"] * 4 + ["left", "left"],
    "matrix-with-cursor": ["j"] * 5 + ["enter", "down"],
    "all-heads": ["H", "right_curly_bracket", "right_square_bracket"],
    "last": ["G"],
}


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
@pytest.mark.parametrize("name", list(KEYS))
def test_picture(
    name: str, size: tuple[int, int], app: LabApp, settle: Callable[[Pilot[None]], Awaitable[None]], snap_compare: Any
) -> None:
    async def go(pilot: Pilot[None]) -> None:
        await settle(pilot)
        for key in KEYS[name]:
            await pilot.press(key)
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=go)


@pytest.mark.parametrize("keys", [["j"] * 5 + ["enter", "down"], ["left", "y"]], ids=["matrix-with-cursor", "received"])
def test_picture_on_a_large_screen(
    keys: list[str], app: LabApp, settle: Callable[[Pilot[None]], Awaitable[None]], snap_compare: Any
) -> None:
    async def go(pilot: Pilot[None]) -> None:
        await settle(pilot)
        await pilot.press(*keys)
        await settle(pilot)

    assert snap_compare(app, terminal_size=(200, 60), run_before=go)


@pytest.mark.parametrize("keys", [["e"], ["s"]], ids=["prompt", "sampling"])
def test_picture_of_editing(
    keys: list[str], app: LabApp, settle: Callable[[Pilot[None]], Awaitable[None]], snap_compare: Any
) -> None:
    async def go(pilot: Pilot[None]) -> None:
        await settle(pilot)
        await pilot.press(*keys)
        await settle(pilot)

    assert snap_compare(app, terminal_size=(80, 24), run_before=go)
