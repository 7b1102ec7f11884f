"""Data as the first mode, on a machine that is the same everywhere."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from lab.data.cleaning import measure_funnel
from lab.data.statistics.text_statistics import CountRequest, TokenCount, count_tokens
from screens.app import LabApp
from screens.data.data_screen import DataScreen

DataApp = Callable[..., LabApp]


@pytest.fixture(autouse=True)
def _read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count and measure in threads: each text that comes into view would start a process or two. One test has those."""

    async def count(request: CountRequest) -> TokenCount:
        return await asyncio.to_thread(count_tokens, request)

    async def measure(request: measure_funnel.FunnelRequest, progress: object) -> measure_funnel.FunnelReply:
        return await asyncio.to_thread(measure_funnel._work, request, lambda done, total: None)

    monkeypatch.setattr("screens.data.choose_page.run_count_process", count)
    monkeypatch.setattr("screens.data.clean_page.run_funnel_process", measure)


@pytest.fixture
def data_app(home: Any, fixed_machine: Any) -> DataApp:
    """Makes the lab as it opens Data, for options such as the text in use."""

    class DataFirst(LabApp):
        DEFAULT_MODE = "data"

    return lambda **options: DataFirst(preload=False, **options)


@pytest.fixture
def app(data_app: DataApp) -> LabApp:
    return data_app()


def screen_of(pilot: Pilot[None]) -> DataScreen:
    screen = pilot.app.screen
    assert isinstance(screen, DataScreen)
    return screen
