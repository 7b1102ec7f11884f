"""Pictures of Home, Data and Train, from runs made of files; those at 80x24 that `test_few_colours` has as text are not here."""

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from screens.app import LabApp
from screens.home.run_pane import RunPane
from screens.home.run_table import RunTable
from screens.train.run_form import RunForm
from screens.train.run_header import VerdictBar
from tests.fixture_types import Until
from tests.screens.mode_app import ModeApp
from tests.screens.pilot_waits import press, show_home_as

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


def app_in(mode: str, **options: Any) -> LabApp:
    kind = type("App", (ModeApp,), {"FIRST_MODE": mode})
    app: LabApp = kind(preload=False, **options)
    app.is_watching = "run" in options
    return app


def some_runs(make_run: Any) -> None:
    make_run("stories", text="stories", created=1_759_900_000.0)
    make_run("shakespeare", phase="stopped", step=1240, created=1_759_990_000.0)
    make_run("too-hot", phase="failed", step=12, created=1_759_995_000.0)
    make_run("shakespeare-2", phase="training", step=400, created=1_759_999_900.0)


@pytest.fixture
def pictured(snap_compare: Any, until: Until, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Compares the screen of an app with its picture once it is ready, with these settings typed and keys pressed."""
    show_home_as(monkeypatch, "/home/you/runs")
    monkeypatch.setattr("screens.data.choose_inputs.short_path", lambda folder: "~/texts")

    def compare(app: LabApp, size: tuple[int, int], is_ready: Callable[[Any], object], *keys: str, **typed: str) -> bool:
        async def ready(pilot: Pilot[None]) -> None:
            if app.is_watching:
                app.screen.making = False
            await until(pilot, lambda: is_ready(app.screen))
            for name, value in typed.items():
                app.screen.query_one(f"#{name}").value = value
            await press(pilot, *keys)

        return bool(snap_compare(app, terminal_size=size, run_before=ready))

    return compare


def test_home(pictured: Callable[..., bool], make_run: Any) -> None:
    some_runs(make_run)

    def is_ready(home: Any) -> object:
        panes = [pane for pane in home.query(RunPane) if pane.detail]
        return len(home.query_one(RunTable).curves) == 4 and home.query_one("#machine").content and panes

    assert pictured(app_in("home"), (120, 40), is_ready)


def test_an_empty_home(pictured: Callable[..., bool]) -> None:
    assert pictured(app_in("home"), (80, 24), lambda home: home.lab.runs_known and home.query_one("#machine").content)


def test_data(pictured: Callable[..., bool]) -> None:
    def is_ready(data: Any) -> object:
        return len(data.choose_page._counts) == 2 and data.query_one("#texts").root.children[-1].children

    assert pictured(app_in("data"), (120, 40), is_ready)


def is_counted(train: Any) -> bool:
    return "also stands" in str(train.query_one(RunForm).cost)


def test_a_new_run(pictured: Callable[..., bool]) -> None:
    assert pictured(app_in("train", text="fable.txt"), (120, 40), is_counted, "down", "enter", "up", context="8")


def test_a_new_run_with_mistakes(pictured: Callable[..., bool]) -> None:
    wrong = {"context": "8", "width": "130", "length": "soon", "name": "a/b"}
    assert pictured(app_in("train", text="fable.txt"), (80, 24), is_counted, **wrong)


def test_a_run_that_trains(pictured: Callable[..., bool], make_run: Any) -> None:
    some_runs(make_run)
    app = app_in("train", run="shakespeare-2", text="fable.txt")

    def is_ready(train: Any) -> object:
        has_numbers = train.view.query_one("#run-facts").size.height > 1
        return has_numbers and train.view.query_one(VerdictBar).verdict and len(app.runs) == 4

    assert pictured(app, (80, 24), is_ready)


@pytest.mark.parametrize("keys", ["t", "ddd"], ids=["place", "updates"])
def test_inside_a_run(pictured: Callable[..., bool], make_run: Any, measured: Any, keys: str) -> None:
    measured(make_run("shakespeare", step=1000), range(0, 1001, 100))
    app = app_in("train", run="shakespeare", text="fable.txt")
    assert pictured(app, (80, 24), lambda train: train.watched is not None, *keys)
