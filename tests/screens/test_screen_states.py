"""Screen states: each mode says what is looked at, and shows it again."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from lab.views.screen_state import ScreenState
from screens.app import LabApp
from screens.base_screen import LabScreen
from screens.data.data_screen import DataScreen
from screens.messages import OpenState
from screens.tokens.token_flow import TokenFlow
from screens.tokens.tokens_screen import TokensScreen
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


async def test_each_mode_shows_a_state_again_says_the_same_of_it_and_chooses_its_token(app: LabApp, until: Any) -> None:
    text = str(Path("fable.txt").absolute())
    states = [
        ScreenState(mode="home", run="other"),
        ScreenState(mode="train", page="heads", run="tale", step=100, layer=1, head=2),
        ScreenState(mode="train", page="new"),
        ScreenState(mode="train", page="compare", run="tale", others=("other",)),
        ScreenState(mode="train", page="curves", run="other"),
        ScreenState(mode="train", page="one step", run="tale", prompt="A dog ran.", stage="losses"),
        ScreenState(mode="tokens", page="strip", tokenizer="bytes", prompt="The cat sat.", position=5),
        ScreenState(mode="tokens", page="vocabulary", tokenizer="bytes", prompt="The cat sat."),
        ScreenState(mode="data", page="look", text=text, encoding="latin-1"),
        ScreenState(mode="data", page="choose", text="python"),
        ScreenState(mode="home", run="tale"),
    ]
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs_known)
        for asked in states:
            app.post_message(OpenState(asked))
            await until(pilot, lambda: state(app) == asked)  # noqa: B023
        assert app.text_source == "", "a text that is looked at is not chosen for training"
        of_token = ScreenState(mode="tokens", page="strip", tokenizer="bytes")
        for prompt, position, shown in (("The cat sat.", 4, 4), ("The cat", 2, 2), ("The cat", 6, 6), ("Hi", 9, 1)):
            app.post_message(OpenState(replace(of_token, prompt=prompt, position=position)))
            await until(pilot, lambda: isinstance(app.screen, TokensScreen) and app.screen.is_ready)
            await until(pilot, lambda: app.screen.box.text == prompt and chosen(pilot) == shown)  # type: ignore[attr-defined] # noqa: B023
        assert isinstance(app.focused, TokenFlow)


def chosen(pilot: Pilot[None]) -> int:
    return pilot.app.screen.query_one(TokenFlow).chosen


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
