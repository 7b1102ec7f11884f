"""Screen states: each mode says what is looked at, and shows what it is asked for."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

from lab.views.screen_state import ScreenState
from screens.app import LabApp
from screens.base_screen import LabScreen
from screens.data.data_screen import DataScreen
from screens.messages import OpenState
from tests.screens.fake_wire import SilentEngine


@pytest.fixture
def app(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> LabApp:
    for name in ("tale", "other"):
        make_run(name)
    monkeypatch.setattr("screens.train.one_step_screen.EngineClient", SilentEngine)
    return LabApp(run="tale", preload=False)


def state(app: LabApp) -> ScreenState:
    assert isinstance(app.screen, LabScreen)
    return app.screen.screen_state()


def shows(state: ScreenState, asked: ScreenState) -> bool:
    """True if the state is as it was asked for; of what was not, it may say anything."""
    return all(value in ("", None, getattr(state, name)) for name, value in asdict(asked).items())


async def test_each_mode_shows_a_state_and_says_the_same_of_it(app: LabApp, until: Any) -> None:
    text = str(Path("fable.txt").absolute())
    states = [
        ScreenState(mode="train", page="words", run="tale"),
        ScreenState(mode="train", page="curves", run="other"),
        ScreenState(mode="train", page="one step", run="other", stage="losses"),
        ScreenState(mode="tokens", page="vocabulary"),
        ScreenState(mode="data", page="look", text=text, encoding="latin-1"),
    ]
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs_known)
        for asked in states:
            app.post_message(OpenState(asked))
            await until(pilot, lambda: shows(state(app), asked))  # noqa: B023
        assert app.text_source == "", "a text that is looked at is not chosen for training"


GONE = {
    "There is no run called 'gone'": ScreenState(mode="train", run="gone", page="heads"),
    "There is no mode called 'kitchen'.": ScreenState(mode="kitchen", run="other"),
    "../texts is a folder but not a run": ScreenState(mode="tokens", run="../texts"),
}
"""Sentences about states of which something is gone."""


async def test_a_state_of_something_that_is_gone_is_one_sentence_and_leaves_the_mode_usable(app: LabApp, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        for sentence, asked in GONE.items():
            app.clear_notifications()
            app.post_message(OpenState(asked))
            await until(pilot, lambda: len(app._notifications) == 1)
            assert sentence in next(iter(app._notifications)).message
            assert (app.current_mode, app.run_name) == ("home", "tale")
        app.post_message(OpenState(ScreenState(mode="data", page="kitchen", text="/no/such/text")))
        await until(pilot, lambda: isinstance(app.screen, DataScreen))
        await until(pilot, lambda: "/no/such/text" in str(app.screen.query_one("#data-hint").render()))  # type: ignore[attr-defined]
        assert state(app).page == "choose"
