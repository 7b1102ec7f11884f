"""Learn: the progress that is kept: back into the lesson before, quick steps, and what another lab keeps."""

import time
from pathlib import Path
from typing import Any

import pytest

from lab.core.errors import UserError
from lab.lessons.learner_progress import Progress, read_progress, write_progress
from screens.app import LabApp
from screens.learn.lessons_page import LessonsPage
from tests.screens.learn.conftest import hold, lessons_page


async def test_a_lesson_that_is_gone_back_into_is_not_done_and_what_another_lab_keeps_is_seen_when_the_mode_comes_back(
    app: LabApp, home: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        page = await lessons_page(pilot, until)
        first, second, third, *_ = page.lessons
        await pilot.press("j", "enter")
        await until(pilot, lambda: read_progress(home)[0].last == second.name)
        await pilot.press("backspace")
        last = len(first.steps) - 1
        await until(pilot, lambda: page.reader.lesson is first and page.reader.step == last)
        await until(pilot, lambda: read_progress(home)[0].last == first.name)
        assert not read_progress(home)[0].of(first.name).is_done
        assert str(page.list.border_subtitle).startswith("0 of")
        await pilot.press("backspace")
        await until(pilot, lambda: read_progress(home)[0].of(first.name).step == last - 1)
        await until(pilot, lambda: page._kept is page._progress)
        assert str(page.list.get_option_at_index(0).prompt).partition("\n")[0].endswith(f"  2/{last + 1}"), "the steps read"

        await pilot.press("1")
        other = read_progress(home)[0]
        for step in range(len(third.steps)):
            other = other.at(third.name, step, len(third.steps))
        write_progress(home, other, third.name)
        await pilot.press("6")
        await until(pilot, lambda: str(page.list.border_subtitle).startswith("1 of"))
        assert [str(option.prompt).startswith("✓") for option in page.list.options[:4]] == [False, False, True, False]
        assert page.reader.lesson is first, "what is being read stays"
        await pilot.press("space")
        await until(pilot, lambda: read_progress(home)[0].of(first.name).step == last)
        assert read_progress(home)[0].of(third.name).is_done
        assert not read_progress(home)[0].of(first.name).is_done, "its other steps are not read"

        asked, kept, read_again = [], [], []

        def slow_at_first(*arguments: Any) -> None:
            asked.append(arguments)
            time.sleep(0.2 if len(asked) == 1 else 0)
            write_progress(*arguments)
            kept.append(arguments)

        def refuse(*_: Any) -> None:
            raise UserError("The disk is full.")

        def read(folder: Path) -> tuple[Progress, str]:
            read_again.append(folder)
            return read_progress(folder)

        monkeypatch.setattr("screens.learn.lessons_page.write_progress", slow_at_first)
        await hold(pilot, "backspace", "backspace")
        await until(pilot, lambda: page.reader.step == last - 2 and asked and len(kept) == len(asked))
        assert read_progress(home)[0].of(first.name).step == last - 2, "of two quick steps the last is kept"
        monkeypatch.setattr("screens.learn.lessons_page.write_progress", refuse)
        monkeypatch.setattr("screens.learn.lessons_page.read_progress", read)
        await pilot.press("space")
        await until(pilot, lambda: page._progress is not None and page._progress.of(first.name).step == last - 1)
        read_again.clear()
        await pilot.press("1", "6")
        await until(pilot, lambda: pilot.app.screen.query(LessonsPage))
        assert not read_again, "progress that could not be kept is not read over"
        assert page._progress.of(first.name).step == last - 1
