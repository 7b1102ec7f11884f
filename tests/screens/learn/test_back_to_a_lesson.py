"""Learn: back from a lesson into the one before it, which is not read for that."""

import time
from pathlib import Path
from typing import Any

import pytest

from lab.learner.progress import read_progress, write_progress
from screens.app import LabApp
from screens.learn.lessons_page import LessonsPage
from tests.screens.learn.test_learn import app, settled

__all__ = ["app"]


async def test_a_lesson_that_is_gone_back_into_is_not_done(app: LabApp, home: Path, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot, until)
        page = pilot.app.screen.query_one(LessonsPage)
        await pilot.press("j", "enter")
        await until(pilot, lambda: read_progress(home)[0].last == page.lessons[1].name)
        await pilot.press("p")
        last = len(page.lessons[0].steps) - 1
        await until(pilot, lambda: page.reader.lesson is page.lessons[0] and page.reader.step == last)
        await until(pilot, lambda: read_progress(home)[0].last == page.lessons[0].name)
        assert not read_progress(home)[0].of(page.lessons[0].name).is_done
        assert str(page.list.border_subtitle).startswith("0 of")
        await pilot.press("p")
        await until(pilot, lambda: read_progress(home)[0].of(page.lessons[0].name).step == last - 1)
        await pilot.press("space")
        await until(pilot, lambda: str(page.list.border_subtitle).startswith("1 of"))


async def test_of_two_quick_steps_the_last_one_is_kept(
    app: LabApp, home: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, kept = [], []

    def slow_at_first(*arguments: Any) -> None:
        asked.append(arguments)
        time.sleep(0.2 if len(asked) == 1 else 0)
        write_progress(*arguments)
        kept.append(arguments)

    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot, until)
        page = pilot.app.screen.query_one(LessonsPage)
        monkeypatch.setattr("lab.learner.progress.write_progress", slow_at_first)
        await pilot.press("enter", "space", "space")
        await until(pilot, lambda: len(kept) == 3)
        assert read_progress(home)[0].of(page.lessons[0].name).step == page.reader.step == 2
