"""Pictures of Inspect at the two sizes it is made for."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from screens.app import LabApp
from tests.screens.inspect.conftest import to_stage

SIZES = [(80, 24), (120, 40)]
KEYS = {
    "embed": to_stage("embed"),
    "scores": to_stage("scores"),
    "scores-of-the-second": [*to_stage("scores"), "left", "left"],
    "matrix-with-cursor": [*to_stage("matrix"), "enter", "down"],
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


@pytest.mark.parametrize("keys", [[*to_stage("matrix"), "enter", "down"], ["left", "y"]], ids=["matrix-with-cursor", "received"])
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
