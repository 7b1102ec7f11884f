"""Pictures of the model changed: the list of what is off, before and after side by side, two prompts side by side."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from screens.app import LabApp
from tests.screens.inspect.conftest import to_stage

SIZES = [(80, 24), (120, 40)]
SECOND = ["C", "end", "full_stop", "enter"]
KEYS = {
    "list": ["left", "x", *to_stage("scores"), "x", *to_stage("neurons", "scores"), "x", "tab"],
    "before-and-after": [*to_stage("scores"), "x", "b"],
    "two-prompts": [*to_stage("scores"), *SECOND, "C"],
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
