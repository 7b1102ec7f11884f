"""The lab on Train with a text, or with a run in view, and trainers that are asked for and not started."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lab.runs.run_folder import Run
from tests.fixture_types import Open, Until
from tests.screens.conftest import write_insights
from tests.screens.train.train_app import TrainApp, watch


@pytest.fixture
def app() -> TrainApp:
    return TrainApp(text=str(Path("fable.txt").absolute()), preload=False)


@pytest.fixture
def watching(app: TrainApp, make_run: Callable[..., Run], until: Until) -> Open:
    """Opens Train and shows a run that it makes, with measurements at these `evaluations`, if any."""

    @asynccontextmanager
    async def open_it(
        size: tuple[int, int] = (80, 24), *, name: str = "tale", evaluations: range | None = None, **facts: Any
    ) -> AsyncIterator[Pilot[None]]:
        run = make_run(name, **facts)
        if evaluations is not None:
            write_insights(run, evaluations)
        async with app.run_test(size=size) as pilot:
            await watch(pilot, until, name)
            yield pilot

    return open_it


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs whose trainer was asked for; no process is started."""
    names: list[str] = []

    def start(run: Run, waiting: Callable[[], None] = lambda: None) -> int:
        names.append(run.name)
        return 1

    for module in ("new_run", "train_screen"):
        monkeypatch.setattr(f"screens.train.{module}.start_trainer", start)
    return names
