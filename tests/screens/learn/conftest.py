"""Learn as the first mode, over an engine of the test's."""

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from textual.pilot import Pilot

from screens.app import LabApp
from screens.learn.learn_screen import LearnScreen
from screens.learn.lessons_page import LessonsPage
from tests.fixture_types import Until
from tests.screens.fake_wire import SilentEngine
from tests.screens.mode_app import ModeApp


def learn_app(engine: Callable[[], Any], **options: Any) -> LabApp:
    """The lab as it opens Learn, with an engine of this kind."""

    class LearnApp(ModeApp):
        FIRST_MODE = "learn"
        MODES: ClassVar[dict[str, Any]] = {**LabApp.MODES, "learn": lambda: LearnScreen(engine(), options.get("run", "demo"))}

    return LearnApp(preload=False, **options)


@pytest.fixture
def app(home: Any) -> LabApp:
    return learn_app(SilentEngine)


async def lessons_page(pilot: Pilot[None], until: Until) -> LessonsPage:
    """The page of the lessons, once its list shows the progress."""
    await until(pilot, lambda: pilot.app.screen.query(LessonsPage) and pilot.app.screen.query_one(LessonsPage).is_settled)
    return pilot.app.screen.query_one(LessonsPage)


async def hold(pilot: Pilot[None], *keys: str) -> None:
    """Press keys one right after the other, as a key that is held does, and wait once. Their names, not what they type."""
    for key in keys:
        pilot.app.simulate_key(key)
    await pilot.pause()
