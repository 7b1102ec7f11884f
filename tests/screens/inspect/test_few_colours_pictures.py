"""Pictures of heatmaps, thumbnails and strips where the terminal has 16 colours or none: glyphs say what paper cannot."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from rich.color import ColorSystem
from textual.pilot import Pilot

from tests.screens.emitted_cells import PLAIN, SIXTEEN, codes_of, emitted_cells, without_ascii_mark
from tests.screens.inspect.conftest import to_stage

KEYS = {
    "embed": to_stage("embed"),
    "matrix": [*to_stage("matrix"), "enter", "down"],
    "all-heads": ["H"],
}


@pytest.mark.parametrize("colours", ["16", "none"])
@pytest.mark.parametrize("name", list(KEYS))
def test_picture(
    name: str,
    colours: str,
    home: Path,
    request: pytest.FixtureRequest,
    settle: Callable[[Pilot[None]], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
    snap_compare: Any,
) -> None:
    if colours == "none":
        monkeypatch.setenv("NO_COLOR", "1")
    else:
        monkeypatch.setattr("rich.console.Console._detect_color_system", lambda console: ColorSystem.STANDARD)
    app = request.getfixturevalue("app")

    async def go(pilot: Pilot[None]) -> None:
        await settle(pilot)
        for key in KEYS[name]:
            await pilot.press(key)
        await settle(pilot)
        cells = emitted_cells(app)
        assert codes_of(cells) <= (PLAIN if colours == "none" else PLAIN | SIXTEEN)
        assert not without_ascii_mark(cells)

    assert snap_compare(app, terminal_size=(80, 24), run_before=go)
