"""The lab on Train with a text, and trainers that are asked for and not started."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.runs.run_folder import Run
from tests.screens.train.train_app import TrainApp


@pytest.fixture
def app() -> TrainApp:
    return TrainApp(text=str(Path("fable.txt").absolute()), preload=False)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs whose trainer was asked for; no process is started."""
    names: list[str] = []

    def start(run: Run, waiting: Callable[[], None] = lambda: None) -> int:
        names.append(run.name)
        return 1

    monkeypatch.setattr("screens.train.new_run.start_trainer", start)
    monkeypatch.setattr("screens.train.run_commands.start_trainer", start)
    return names
