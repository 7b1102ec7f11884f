"""Copying by one key: clean text, of the number under a cursor, a view, or all that a screen shows; also as a file."""

import re
from pathlib import Path

import pytest
from textual.widgets import Static

from lab.core.errors import UserError
from screens.app import LabApp
from screens.terminal.clipboard import CLIPBOARD_BYTES, copy, text_in_sight
from tests.fixture_types import Until
from tests.screens.pilot_waits import press, settle

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
        await settle(pilot)
        assert text_in_sight(part) == "one\ntwo   three"


async def test_what_is_copied_replaces_no_file_of_the_users_and_goes_through_no_link(
    home: Path, tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lab's own file of this session is written again, until somebody changes it; another gets a new name."""
    monkeypatch.setattr("screens.terminal.clipboard._written", None)
    mine, exports = tmp_path / "mine.txt", home / "exports"
    exports.mkdir()
    mine.write_text("mine")
    (exports / "copied.txt").symlink_to(mine)
    (exports / "copied-2.txt").write_text("mine too")
    app = LabApp(preload=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "y")
        await until(pilot, lambda: (exports / "copied-3.txt").exists())
        assert "copied-3.txt" in await copy(app, "again")
        (exports / "copied-3.txt").write_text("edited")
        assert "copied-4.txt" in await copy(app, "once more")
        texts = [path.read_text() for path in sorted(exports.iterdir())]
        assert texts == ["mine too", "edited", "once more", "mine"]
        elsewhere = tmp_path / "elsewhere"
        exports.rename(elsewhere)
        exports.symlink_to(elsewhere)
        with pytest.raises(UserError, match="exports is a link"):
            await copy(app, "through it")
    assert len(list(elsewhere.iterdir())) == 4
