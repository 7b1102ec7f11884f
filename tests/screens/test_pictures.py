"""Pictures of Home, Data and Train at both sizes, from runs made of files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import TextArea

from screens.app import LabApp
from screens.home.run_pane import RunPane
from screens.home.run_table import RunTable
from screens.train.run_form import RunForm
from tests.screens.pilot_waits import SIZES, press

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


def app_in(mode: str, **options: Any) -> LabApp:
    kind = type("App", (LabApp,), {"DEFAULT_MODE": mode})
    app: LabApp = kind(preload=False, **options)
    return app


def some_runs(make_run: Any) -> None:
    make_run("stories", text="stories", created=1_759_900_000.0)
    make_run("shakespeare", phase="stopped", step=1240, created=1_759_990_000.0)
    make_run("too-hot", phase="failed", step=12, created=1_759_995_000.0)
    make_run("shakespeare-2", phase="training", step=400, created=1_759_999_900.0)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=["80x24", "120x40", "200x60"])
def test_home(snap_compare: Any, make_run: Any, until: Any, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    some_runs(make_run)
    monkeypatch.setattr("lab.runs.home_folder.home", lambda: Path("/home/you/runs"))
    app = app_in("home")

    async def ready(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: len(app.runs) == 4 and str(app.screen.query_one("#machine").content))  # type: ignore[attr-defined]
        await until(pilot, lambda: len(app.screen.query_one(RunTable).curves) == 4)
        await until(pilot, lambda: size[0] < 120 or [pane for pane in app.screen.query(RunPane) if pane.detail])

    assert snap_compare(app, terminal_size=size, run_before=ready)


@SIZES
def test_an_empty_home(snap_compare: Any, until: Any, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.runs.home_folder.home", lambda: Path("/home/you/runs"))
    app = app_in("home")

    async def ready(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.runs_known and str(app.screen.query_one("#machine").content))  # type: ignore[attr-defined]

    assert snap_compare(app, terminal_size=size, run_before=ready)


@SIZES
def test_data(snap_compare: Any, until: Any, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("screens.data.text_tree.shortened", lambda folder: "~/texts")
    app = app_in("data")

    async def ready(pilot: Pilot[None]) -> None:
        tree: Any = app.screen.query_one("#texts")
        await until(pilot, lambda: len(app.screen.choose_page._counts) == 2 and tree.root.children[-1].children)  # type: ignore[attr-defined]

    assert snap_compare(app, terminal_size=size, run_before=ready)


def form_ready(app: LabApp, until: Any, **typed: str) -> Callable[[Pilot[None]], Any]:
    async def ready(pilot: Pilot[None]) -> None:
        screen: Any = app.screen
        await until(pilot, lambda: "also stands" in str(screen.query_one(RunForm).cost))
        for name, value in typed.items():
            screen.query_one(f"#{name}").value = value
        await pilot.pause()

    return ready


@SIZES
def test_a_new_run(snap_compare: Any, until: Any, size: tuple[int, int]) -> None:
    app = app_in("train", text="fable.txt")
    assert snap_compare(app, terminal_size=size, run_before=form_ready(app, until, context="8"))


def test_a_new_run_with_mistakes(snap_compare: Any, until: Any) -> None:
    app = app_in("train", text="fable.txt")
    ready = form_ready(app, until, context="8", width="130", length="soon", name="a/b")
    assert snap_compare(app, terminal_size=(80, 24), run_before=ready)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=["80x24", "120x40", "200x60"])
def test_a_run_that_trains(snap_compare: Any, make_run: Any, until: Any, size: tuple[int, int]) -> None:
    some_runs(make_run)
    app = app_in("train", run="shakespeare-2", text="fable.txt")

    async def ready(pilot: Pilot[None]) -> None:
        screen: Any = app.screen
        screen.making = False
        await until(pilot, lambda: screen.watched is not None and len(app.runs) == 4)

    assert snap_compare(app, terminal_size=size, run_before=ready)


@SIZES
@pytest.mark.parametrize(("page", "key"), [("heads", "e"), ("place", "t"), ("updates", "g")])
def test_inside_a_run(
    snap_compare: Any, make_run: Any, measured: Any, until: Any, size: tuple[int, int], page: str, key: str
) -> None:
    measured(make_run("shakespeare", step=1000), range(0, 1001, 100))
    app = app_in("train", run="shakespeare", text="fable.txt")

    async def ready(pilot: Pilot[None]) -> None:
        screen: Any = app.screen
        screen.making = False
        await until(pilot, lambda: screen.watched is not None)
        await press(pilot, key)

    assert snap_compare(app, terminal_size=size, run_before=ready)


async def test_no_picture_depends_on_the_blinking_of_a_cursor() -> None:
    async with app_in("tokens").run_test() as pilot:
        text: Any = pilot.app.screen.query_one(TextArea)
        text.blink_timer._callback()
        assert text._cursor_visible
        await pilot.press("escape", "2", "slash")
        field: Any = pilot.app.focused
        field._blink_timer._callback()
        assert field._cursor_visible
        assert pilot.app.animation_level == "none"
