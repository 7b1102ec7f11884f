"""Home: the runs as they are on disk."""

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from screens.app import LabApp
from screens.base_screen import LabScreen
from screens.dialogs.confirm import ConfirmDialog
from screens.home.run_table import RunTable

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


class Elsewhere(LabScreen):
    """Stands for Inspect, whose engine is not needed here."""

    MODE = "inspect"


class HomeApp(LabApp):
    MODES = {**LabApp.MODES, "inspect": Elsewhere}


@pytest.fixture
def app() -> HomeApp:
    return HomeApp(preload=False)


def lines(pilot: Pilot[None]) -> list[str]:
    table = pilot.app.screen.query_one(RunTable)
    return [table.render_line(y).text.strip() for y in range(1, len(table.runs) + 1)]


async def test_every_run_is_told_with_a_word_and_a_sign(app: HomeApp, make_run: Any, until: Any, home: Path) -> None:
    make_run("first", created=1000.0)
    make_run("second", created=2000.0, phase="stopped", step=1240)
    make_run("third", created=3000.0, phase="training", step=240)
    make_run("fourth", created=4000.0, phase="failed", step=12)
    gone = make_run("fifth", created=5000.0, phase="finished", step=12)
    gone.status_path.write_bytes(gone.status_path.read_bytes().replace(b'"finished"', b'"training"'))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: len(app.runs) == 5)
        told = lines(pilot)
        for line, words in zip(told, ("! interrupted", "✗ failed", "● training", "■ stopped", "✓ finished"), strict=True):
            assert words in line
        assert told[0].startswith("▸  fifth")
        assert "240 / 2,000" in told[2]
        assert "8,310" in told[2]
        assert told[2].endswith("now")
        assert told[1].endswith("10 min ago")
        assert not app.screen.query_one("#start-here").display


async def test_an_empty_home_says_where_to_start(app: HomeApp, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs_known)
        assert app.screen.query_one("#start-here").display
        await pilot.press("enter", "t", "i")
        assert app.current_mode == "home"


async def test_the_mark_stays_on_its_run_when_another_appears(app: HomeApp, make_run: Any, until: Any) -> None:
    make_run("old", created=1000.0)
    make_run("older", created=900.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(app.runs) == 2)
        await pilot.press("j")
        assert app.screen.query_one(RunTable).selected.name == "older"
        make_run("new", created=5000.0)
        app.read_runs()
        await until(pilot, lambda: len(app.runs) == 3)
        assert app.screen.query_one(RunTable).selected.name == "older"
        assert lines(pilot)[2].startswith("▸  older")


async def test_enter_watches_a_run_that_trains_and_inspects_one_that_does_not(app: HomeApp, make_run: Any, until: Any) -> None:
    make_run("done", created=1000.0)
    make_run("busy", created=2000.0, phase="training", step=240)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(app.runs) == 2)
        assert app.run_name == "busy", "the newest run is chosen from the start"
        await pilot.press("enter")
        await pilot.pause()
        assert (app.current_mode, app.run_name) == ("train", "busy")
        await until(pilot, lambda: app.screen.query_one("#run").watched)
        await pilot.press("1", "down", "enter")
        await pilot.pause()
        assert (app.current_mode, app.run_name) == ("inspect", "done")
        await pilot.press("1", "t")
        await pilot.pause()
        assert (app.current_mode, app.run_name) == ("train", "done")


async def test_two_hundred_runs_are_all_reachable(app: HomeApp, make_run: Any, until: Any) -> None:
    for number in range(200):
        make_run(f"run-{number}", step=0, created=float(number))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(app.runs) == 200)
        table = app.screen.query_one(RunTable)
        await pilot.press("end")
        await pilot.pause()
        shown = [table.render_line(y).text for y in range(table.size.height)]
        assert any("▸  run-0 " in line for line in shown)


async def test_a_damaged_run_is_listed_last_with_the_reason_and_goes_by_a_key(
    app: HomeApp, make_run: Any, until: Any, home: Path
) -> None:
    make_run("good", created=1000.0)
    config = make_run("bad", created=2000.0).path / "config.json"
    config.write_bytes(config.read_bytes().replace(b'"layers":4', b'"layers":2.5'))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: len(app.runs) == 2)
        assert "? damaged" in lines(pilot)[1]
        assert "ago" not in lines(pilot)[1]
        await pilot.press("j")
        said = str(app.screen.query_one("#run-line", Static).render())
        assert said == "bad is damaged: config.json is damaged: Expected `int`, got `float` - at `$.model.layers`. D deletes it."
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert "bad is damaged: config.json is damaged" in app.screen._words
        await pilot.press("D")
        await until(pilot, lambda: not config.parent.exists())
