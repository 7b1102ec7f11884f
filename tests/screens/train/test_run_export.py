"""Export from Train: the report of the run in view, or a screenshot."""

from typing import Any

import pytest
from textual.pilot import Pilot

from lab.exchange import export_files
from lab.runs.home_folder import home
from screens.dialogs.export_menu import ExportMenu
from tests.fixture_types import Open, Until
from tests.screens.train.train_app import TrainApp

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


async def export(pilot: Pilot[None], until: Until, key: str) -> str:
    """Choose an export; what the app says then."""
    await pilot.press("o")
    await until(pilot, lambda: isinstance(pilot.app.screen, ExportMenu))
    await pilot.press(key)
    await until(pilot, lambda: pilot.app._notifications)
    words = [each.message for each in pilot.app._notifications]
    pilot.app.clear_notifications()
    return words[-1]


async def test_o_saves_the_runs_report_and_screenshots(
    watching: Open, app: TrainApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching((120, 40)) as pilot:
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, ExportMenu))
        await pilot.press("n", "j", "c", "t")
        assert isinstance(app.screen, ExportMenu), "what needs a view of Inspect is not offered"
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, ExportMenu))
        assert not (home() / "exports").exists()
        with monkeypatch.context() as patch:
            patch.setattr(export_files, "can_write_png", lambda: False)
            assert await export(pilot, until, "p") == export_files.NOT_INSTALLED
        assert list((home() / "exports").iterdir()) == []
        assert "tale-report.html" in await export(pilot, until, "h")
        report = (home() / "exports" / "tale-report.html").read_text(encoding="utf-8")
        assert "<h1><bdi>tale</bdi></h1>" in report
        assert "Next token" not in report
        assert "tale-training.svg" in await export(pilot, until, "s")
        assert (home() / "exports" / "tale-training.svg").read_text().startswith("<svg")
        assert "tale-report-2.html" in await export(pilot, until, "h")


async def test_the_palette_saves_a_screenshot_of_any_screen(app: TrainApp, until: Any) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("1", "ctrl+p", *"screenshot svg")
        await pilot.pause(0.3)
        await pilot.press("enter")
        await until(pilot, lambda: app._notifications)
        path = home() / "exports" / "llmlab-home.svg"
        assert "From text to prediction" in path.read_text().replace("&#160;", " ")
        assert "screenshot" not in path.read_text()
