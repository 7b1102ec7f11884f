"""Copying by one key: clean text, of the number under a cursor, a view, or all that a screen shows; also as a file."""

import re
from pathlib import Path

import pytest
from textual.widgets import Static

from lab.core.errors import UserError
from screens.app import LabApp
from screens.terminal.clipboard import CLIPBOARD_BYTES, copy, text_in_sight
from tests.fixture_types import Until
from tests.screens.pilot_waits import press

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


def copied(home: Path) -> str:
    files = list(home.rglob("copied.txt"))
    return files[0].read_text() if files else ""


async def test_y_copies_what_the_screen_shows_without_borders_and_writes_the_same_into_a_file(home: Path, until: Until) -> None:
    app = LabApp(preload=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "y")
        await until(pilot, lambda: app.clipboard != "")
        await until(pilot, lambda: copied(home) == app.clipboard)
        assert "No run" in app.clipboard or "New here" in app.clipboard
        assert not re.search("[─│╭╮╰╯━]", app.clipboard), "no border"
        assert "▸1 Home◂" not in app.clipboard, "nor the bars"

        assert "Copied “a␛[31mb”" in await copy(app, "a\x1b[31mb")
        assert app.clipboard == "a␛[31mb", "visibly"
        with pytest.raises(UserError, match="export it"):
            await copy(app, "x" * (CLIPBOARD_BYTES + 1))
        assert copied(home) == "a␛[31mb"

        part = Static("one  \ntwo │ three")
        part.styles.border = ("round", "red")
        await app.screen.mount(part)
        await pilot.pause()
        assert text_in_sight(part) == "one\ntwo   three"
