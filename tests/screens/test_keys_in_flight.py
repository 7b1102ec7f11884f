"""Keys typed in one go: each one goes where the one before has led, also when that place is not drawn yet."""

import asyncio
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from lab.runs.run_summary import RunsWatcher
from screens.app import LabApp
from screens.data.choose_inputs import PathInput
from screens.help_screen import HelpScreen
from screens.train.compare_screen import CompareScreen
from screens.train.one_step_screen import OneStepScreen
from screens.train.train_screen import TrainScreen
from tests.fixture_types import Open
from tests.screens.fake_wire import SilentEngine
from tests.screens.pilot_waits import press
from tests.screens.train.one_step_engine import FakeEngine

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")

Until = Callable[[Pilot[None], Callable[[], bool]], Any]


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("screens.train.one_step_screen.EngineClient", FakeEngine)
    monkeypatch.setattr("lab.engine.client.EngineClient", SilentEngine)


@pytest.fixture
def app(make_run: Callable[..., object]) -> LabApp:
    make_run("tale")
    make_run("other")
    return LabApp(run="tale", preload=False)


def type_at_once(app: LabApp, *keys: str) -> None:
    """Type faster than anything can be drawn, as a paste of keys or a slow link does."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


async def watch_tale(pilot: Pilot[None], until: Until) -> TrainScreen:
    await press(pilot, "4")
    train = pilot.app.screen
    assert isinstance(train, TrainScreen)
    train.making = False
    await until(pilot, lambda: train.watched is not None)
    return train


async def test_keys_typed_after_one_step_go_to_it_or_back_or_to_a_mode(app: LabApp, until: Until) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        train = await watch_tale(pilot, until)
        type_at_once(app, "w", "escape", "n")
        await until(pilot, lambda: train.making)
        assert app.screen is train
        train.making = False
        type_at_once(app, "w", "j", "j", "k")
        await until(pilot, lambda: isinstance(app.screen, OneStepScreen) and app.screen.selected.stage == "batch")
        await press(pilot, "escape")
        assert app.screen is train
        type_at_once(app, "c", "enter")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await press(pilot, "escape")
        assert app.screen is train
        type_at_once(app, "w", "2")
        await until(pilot, lambda: app.current_mode == "data")


async def test_keys_typed_after_one_that_opens_or_leaves_something_go_where_it_leads(
    app: LabApp, listed: Open, until: Until
) -> None:
    async with listed(2) as pilot:
        type_at_once(app, "r", "2", "q", "a")
        await until(pilot, lambda: isinstance(app.focused, Input) and app.focused.value.endswith("2qa"))
        await press(pilot, "escape")
        type_at_once(app, "m", "j", "m", "c", "2")
        await until(pilot, lambda: app.current_mode == "data")
        assert len(app.screen_stack) == 1
        assert isinstance(app._screen_stacks["home"][-1], CompareScreen)
        type_at_once(app, "question_mark", "tab")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen) and app.screen.has_class("-words"))
        type_at_once(app, "escape", "3", "question_mark", "escape", "2")
        await until(pilot, lambda: app.current_mode == "data")
        data = app.screen
        type_at_once(app, "e")
        app.post_message(events.Paste("a folder/"))
        type_at_once(app, "b")
        await until(pilot, lambda: data.query_one(PathInput).value == "a folder/b")
        data.query_one(PathInput).value = ""
        await press(pilot, "escape")
        type_at_once(app, "e", "n", "o", "enter", "escape", "3")
        await until(pilot, lambda: app.current_mode == "tokens")
        path = data.query_one(PathInput)
        assert path.value == "no"


async def test_a_key_typed_before_the_runs_have_been_read_is_not_lost(
    app: LabApp, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, may_read = RunsWatcher.read, Event()
    monkeypatch.setattr(RunsWatcher, "read", lambda watcher: may_read.wait() and read(watcher))
    monkeypatch.setattr("screens.app.SECONDS_OF_PATIENCE", 3600)
    async with app.run_test() as pilot:
        type_at_once(app, "enter")
        await asyncio.sleep(0.1)
        assert app.current_mode == "home"
        may_read.set()
        await until(pilot, lambda: app.current_mode == "inspect")
