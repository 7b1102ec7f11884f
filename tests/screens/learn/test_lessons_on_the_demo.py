"""Every live widget of every lesson, answered by the real engine on the demo: none refuses, none stays empty."""

from pathlib import Path
from typing import Any, ClassVar

import pytest

from lab.lessons.load_lessons import lessons
from screens.app import LabApp
from screens.learn.learn_screen import LearnScreen
from screens.learn.lesson_reader import LessonText
from screens.learn.lessons_page import LessonsPage
from tests.screens.in_process_engine import InProcessEngine

STEPS_APART = {"scaling", "posttraining"}
"""Widgets that show what was trained before; there is nothing in an empty home."""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabApp:
    monkeypatch.setenv("LLMLAB_HOME", str(tmp_path / "runs"))
    (tmp_path / "fable.txt").write_text("The big dog ran fast. The old cat sat.\n" * 50)
    monkeypatch.chdir(tmp_path)

    class LearnApp(LabApp):
        DEFAULT_MODE = "learn"
        MODES: ClassVar[dict[str, Any]] = {**LabApp.MODES, "learn": lambda: LearnScreen(InProcessEngine())}

    return LearnApp(preload=False)


async def test_every_live_widget_of_every_lesson_answers(app: LabApp, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        app.text_source = "fable.txt"
        screen = pilot.app.screen
        await until(pilot, lambda: screen.query(LessonsPage) and screen.query_one(LessonsPage).is_settled)
        page, status = screen.query_one(LessonsPage), screen.query_one("#lesson-status")
        await pilot.press("enter")
        for lesson in lessons():
            for at, step in enumerate(lesson.steps):
                await until(pilot, lambda: page.reader.lesson.name == lesson.name and page.reader.step == at)  # noqa: B023
                await until(pilot, lambda: (page.reader.live is None) == (step.live is None))  # noqa: B023
                await until(pilot, lambda: screen.is_settled and page.reader.is_settled)
                assert not status.has_class("-error"), (lesson.name, step.title, status.left)  # type: ignore[attr-defined]
                if (lesson.name, at) == ("attention", 0):
                    view = page.reader.live.view  # type: ignore[union-attr]
                    assert view.top <= view.laid.spot(view.laid.followed()).line < view.top + view.window, "the chosen row"
                screen.set_focus(screen.query_one(LessonText))
                await pilot.press("space")
        await until(pilot, lambda: not page.has_class("-reading"))
