"""Data as the first mode, on a machine that is the same everywhere."""

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from screens.app import LabApp
from screens.data.data_screen import DataScreen
from tests.screens.mode_app import ModeApp

DataApp = Callable[..., LabApp]


@pytest.fixture
def data_app(home: Any, fixed_machine: Any) -> DataApp:
    """Makes the lab as it opens Data, for options such as the text in use."""

    class DataFirst(ModeApp):
        FIRST_MODE = "data"

    return lambda **options: DataFirst(preload=False, **options)


@pytest.fixture
def app(data_app: DataApp) -> LabApp:
    return data_app()


def screen_of(pilot: Pilot[None]) -> DataScreen:
    screen = pilot.app.screen
    assert isinstance(screen, DataScreen)
    return screen
