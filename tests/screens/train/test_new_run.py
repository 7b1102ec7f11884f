"""A new run: from settings in the form to a run in the home."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from lab.core.errors import UserError
from lab.runs.run_folder import Run
from screens.app import LabApp
from screens.messages import RunChosen, TextChosen
from screens.train.preparation_view import Preparation
from screens.train.run_form import Field
from screens.train.train_screen import TrainScreen
from tests.screens.train.train_app import TrainApp, screen_of, text_of

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


def fill(pilot: Pilot[None], **values: str) -> None:
    for name, value in values.items():
        screen_of(pilot).query_one(f"#{name}", Input).value = value


async def test_a_bad_width_says_why_and_nothing_is_made(app: TrainApp, started: list[str], home: Path) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        fill(pilot, context="8", width="130")
        await pilot.pause()
        assert "width 130 cannot be divided among 4 heads" in text_of(pilot, "#problems")
        assert screen_of(pilot).query_one("#field-width", Field).has_class("-wrong")
        assert not screen_of(pilot).query_one("#cost-title").display
        await pilot.press("s")
        await pilot.pause()
        assert app.focused is not None
        assert app.focused.id == "width", "it goes to what is wrong"
        await pilot.press("escape", "enter")
        await pilot.pause()
        assert not started
        assert not list(home.iterdir())
        fill(pilot, width="132")
        await pilot.pause()
        assert text_of(pilot, "#problems") == ""
        assert screen_of(pilot).query_one("#cost-title").display


async def test_what_is_typed_behind_a_backspace_in_one_packet_does_not_overtake_it(app: TrainApp, home: Path) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        width = screen_of(pilot).query_one("#width", Input)
        width.focus()
        width.value = "12345678"
        await pilot.pause()
        for key in (*["backspace"] * 8, *"130"):
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await pilot.pause()
        assert width.value == "130"


async def test_start_makes_the_run_that_was_asked_for_and_shows_it(
    app: TrainApp, started: list[str], home: Path, until: Any
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "tokens" in text_of(pilot, "#form-text"))
        assert text_of(pilot, "#form-text").startswith("New run on fable, 1.9 kB, about ")
        fill(pilot, layers="1", heads="2", width="8", context="4", length="30", batch="2", name="small")
        await pilot.press("s")
        await until(pilot, lambda: started == ["small"] and app.run_name == "small")
        await until(pilot, lambda: screen_of(pilot).watched is not None)
        config = Run(home / "small").config
        assert (config.model.layers, config.model.heads, config.model.width, config.model.context) == (1, 2, 8, 4)
        assert (config.train.steps, config.train.batch, config.data.name) == (30, 2, "fable")
        assert not screen_of(pilot).making
        assert [path.name for path in home.iterdir()] == ["small"]


async def test_a_text_that_is_gone_is_told_in_the_form(app: TrainApp, started: list[str], home: Path, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        app.post_message(TextChosen("gone.txt", "", "train"))
        await until(pilot, lambda: "gone.txt does not exist" in text_of(pilot, "#problems"))
        await pilot.press("s")
        await pilot.pause()
        assert not started
        assert {path.name for path in home.iterdir()} <= {"preferences.json"}, "no run"


async def test_what_the_preparation_finds_wrong_is_told_in_the_form(
    app: TrainApp, home: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: Any, progress: Any) -> Run:
        raise UserError("The disk is full.")

    monkeypatch.setattr("screens.train.new_run.prepare_run", refuse)
    async with app.run_test(size=(80, 24)) as pilot:
        fill(pilot, context="4")
        await pilot.press("s")
        await until(pilot, lambda: text_of(pilot, "#problems") == "✗ The disk is full.")
        assert screen_of(pilot).making
        assert screen_of(pilot).new_run.form.display


async def test_escape_gives_a_preparation_up(app: TrainApp, home: Path, until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.planning.preparation.prepare_text import PrepareProgress

    def prepare(request: Any, progress: Callable[[PrepareProgress], None]) -> Run:
        while True:
            progress(PrepareProgress("learning", "learning a vocabulary of 300", 0.5))
            time.sleep(0.01)

    monkeypatch.setattr("screens.train.new_run.prepare_run", prepare)
    async with app.run_test(size=(80, 24)) as pilot:
        fill(pilot, context="4")
        await pilot.press("s")
        await until(pilot, lambda: screen_of(pilot).query_one(Preparation).stages)
        assert "▸ learning a vocabulary of 300  ━━━" in screen_of(pilot).query_one(Preparation).render_line(0).text
        await pilot.press("escape")
        await until(pilot, lambda: "cancelled" in text_of(pilot, "#problems"))
        assert app.current_mode == "train"


async def test_enter_on_a_run_that_is_watched_starts_no_other(make_run: Any, until: Any, started: list[str]) -> None:
    make_run("tale", step=400)
    app = LabApp(text=str(Path("fable.txt").absolute()), preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs_known)
        app.post_message(RunChosen("tale", "train"))
        await until(pilot, lambda: isinstance(app.screen, TrainScreen) and app.screen.watched is not None)
        await pilot.pause(0.2)
        assert not screen_of(pilot).making
        assert app.focused is None
        await pilot.press("e", "enter")
        await pilot.pause(0.2)
        assert not started
        assert not screen_of(pilot).new_run.preparing
