"""The lab on Train, and what stands on its screen."""

from typing import Any

import msgspec
from textual.pilot import Pilot
from textual.widgets import Static

from lab.runs.run_folder import Run
from screens.messages import RunChosen
from screens.train.train_screen import TrainScreen
from tests.screens.mode_app import ModeApp
from tests.screens.pilot_waits import settle


class TrainApp(ModeApp):
    FIRST_MODE = "train"


def change(run: Run, **fields: Any) -> None:
    """Change the settings of a run on disk."""
    config = msgspec.structs.replace(run.config, **fields)
    (run.path / "config.json").write_bytes(msgspec.json.encode(config))
    del run.config


def screen_of(pilot: Pilot[None]) -> TrainScreen:
    screen = pilot.app.screen_stack[0]
    assert isinstance(screen, TrainScreen)
    return screen


def text_of(pilot: Pilot[None], selector: str) -> str:
    return str(screen_of(pilot).query_one(selector, Static).content)


def numbers(pilot: Pilot[None]) -> dict[str, str]:
    return dict(screen_of(pilot).query_one("#run-facts").facts)  # type: ignore[attr-defined]


async def act(pilot: Pilot[None], *actions: str) -> None:
    """Do what has no key, such as a setting of the plot."""
    for action in actions:
        await pilot.app.run_action(action, pilot.app.screen)
    await settle(pilot)


async def watch(pilot: Pilot[None], until: Any, name: str) -> None:
    """Show a run, and wait for its verdict."""
    pilot.app.post_message(RunChosen(name, "train"))
    await until(pilot, lambda: (view := screen_of(pilot).view).is_measured and view.watched and view.watched.name == name)
