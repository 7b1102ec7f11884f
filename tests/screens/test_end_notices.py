"""The bell and the desktop notification when a run or a long job ends and the lab is not in front."""

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest
from textual import events

from lab.core.preferences import read_preferences
from screens.app import LabApp
from screens.command_palette import LabCommands
from tests.fixture_types import Until
from tests.screens.pilot_waits import press, settle

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that is written beside pictures."""
    sent: list[str] = []
    monkeypatch.setattr("screens.app.write_beside", lambda app, data: sent.append(data))
    return sent


def notice(words: str) -> str:
    return f"\x1b]9;llmlab: {words}\x1b\\\x07"


async def read_again(app: LabApp, pilot: Any, until: Until) -> None:
    before = app.runs
    app.read_runs()
    await until(pilot, lambda: app.runs is not before and not any(worker.group == "runs" for worker in app.workers))


HOSTILE = "x\x1b]0;owned\x07\x9b31m"

BLUR, FOCUS = events.AppBlur, events.AppFocus


ENDS: list[tuple[list[Any], str, str, str]] = [
    ([], "tale", "finished", "run tale finished"),  # a terminal that does not tell of its focus may be behind
    ([BLUR], "bad", "failed", "run bad failed"),
    ([FOCUS, BLUR], "half", "stopped", "run half stopped"),
    ([BLUR], "resting", "paused", ""),
    ([BLUR], HOSTILE, "finished", "run x␛]0;owned␇\\u009b31m finished"),
    ([BLUR], "n" * 100, "finished", f"run {'n' * 40}…{'n' * 19} finished"),
    ([BLUR, FOCUS], "seen", "finished", ""),
]
"""What a terminal tells of its focus, then a run's name and its new phase; the notice."""


async def test_the_end_of_a_run_is_told_where_the_lab_is_not_in_front(written: list[str], make_run: Any, until: Until) -> None:
    runs = {name: make_run(name, phase="training", step=10) for _, name, _, _ in ENDS}
    app = LabApp(preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(app.runs) == len(ENDS))
        app.change_preferences(notifications=True)
        for focus, name, phase, words in ENDS:
            for event in focus:
                app.post_message(event())
            await settle(pilot)
            path = runs[name].status_path
            path.write_bytes(path.read_bytes().replace(b'"training"', f'"{phase}"'.encode()))
            written.clear()
            for _ in range(2):
                await read_again(app, pilot, until)
                assert written == ([notice(words)] if words else []), "once"


async def test_nothing_is_told_unless_the_palette_has_turned_it_on(
    written: list[str], make_run: Any, home: Path, until: Until
) -> None:
    job = home / ".scaling" / "sizes"
    job.mkdir(parents=True)
    (home / ".posttraining" / "demo").mkdir(parents=True)
    (home / ".posttraining" / "demo" / "lock").touch()
    size, tale = make_run("sizes-1", phase="training", step=10), make_run("tale", phase="training", step=10)
    lock = os.open(job / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    app = LabApp(preload=False)

    def palette() -> dict[str, Any]:
        return {command.words: command.callback for command in LabCommands(app.screen)._commands()}

    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(app.runs) == 2)
        tale.status_path.write_bytes(tale.status_path.read_bytes().replace(b'"training"', b'"finished"'))
        await read_again(app, pilot, until)
        assert "Notifications: off" not in palette()
        palette()["Notifications: on"]()
        await until(pilot, lambda: read_preferences(home)[0].notifications)
        await read_again(app, pilot, until)
        size.status_path.write_bytes(size.status_path.read_bytes().replace(b'"training"', b'"finished"'))
        await read_again(app, pilot, until)
        assert written == [], "of a scaling experiment the end of all is told"
        os.close(lock)
        await read_again(app, pilot, until)
        assert written == [notice("scaling experiment sizes ended")]
        palette()["Notifications: off"]()
        await until(pilot, lambda: not read_preferences(home)[0].notifications)


async def test_q_names_the_study_that_goes_on(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".studies" / "sums").mkdir(parents=True)
    lock = os.open(home / ".studies" / "sums" / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    app = LabApp(preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "q")
    os.close(lock)
    assert "The study sums goes on; run llmlab to watch it." in capsys.readouterr().err
