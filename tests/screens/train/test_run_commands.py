"""Commands to a run: pause, resume and stop."""

from typing import Any

import msgspec
import pytest

from lab.runs.run_schema import Status
from screens.dialogs.ask import ConfirmDialog
from screens.widgets.key_bar import KeyBar
from tests.screens.pilot_waits import press
from tests.screens.train.train_app import TrainApp, screen_of, watch

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


async def test_keys_pause_resume_and_stop_by_the_runs_control_files(
    app: TrainApp, make_run: Any, until: Any, started: list[str]
) -> None:
    run = make_run("tale", phase="training", step=100)

    def become(phase: str) -> None:
        status = msgspec.json.decode(run.status_path.read_bytes(), type=Status)
        run.status_path.write_bytes(msgspec.json.encode(msgspec.structs.replace(status, phase=phase)))

    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "tale")
        await pilot.press("r")
        await pilot.press("p")
        await until(pilot, lambda: (run.control_path / "pause").exists())
        assert not (run.control_path / "resume").exists(), "a run that trains cannot be resumed"
        become("paused")
        await until(pilot, lambda: screen_of(pilot).watched.phase == "paused")
        assert "resume" in screen_of(pilot).query_one(KeyBar).render_line(0).text
        await pilot.press("r")
        await until(pilot, lambda: (run.control_path / "resume").exists())
        await press(pilot, "x", "escape")
        assert not (run.control_path / "stop").exists()
        await press(pilot, "x")
        assert isinstance(app.screen, ConfirmDialog)
        assert "step 100" in app.screen._words
        await pilot.press("x")
        await until(pilot, lambda: (run.control_path / "stop").exists())
        become("stopped")
        await until(pilot, lambda: screen_of(pilot).watched.phase == "stopped")
        assert not started
        await pilot.press("r")
        await until(pilot, lambda: started == ["tale"])
