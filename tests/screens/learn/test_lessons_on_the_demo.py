"""Every step of every lesson, its live widget answered by the real engine on the demo: none refuses, none stays empty."""

from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Markdown

from lab.lessons.learner.progress import read_progress
from lab.lessons.lesson import Lesson, lessons
from screens.app import LabApp
from screens.learn.lesson_reader import LessonText, lesson_markdown
from screens.learn.lessons_page import LessonList
from screens.widgets.status_line import StatusLine
from tests.lab.conftest import one_core
from tests.screens.in_process_engine import InProcessEngine
from tests.screens.learn.conftest import learn_app, lessons_page
from tests.screens.pilot_waits import press, resize

__all__ = ["one_core"]
pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabApp:
    monkeypatch.setenv("LLMLAB_HOME", str(tmp_path / "runs"))
    (tmp_path / "fable.txt").write_text("The big dog ran fast. The old cat sat.\n" * 50)
    monkeypatch.chdir(tmp_path)
    return learn_app(InProcessEngine)


async def test_each_lesson_is_read_step_by_step_every_live_widget_answers_and_the_progress_is_kept(
    app: LabApp, tmp_path: Path, until: Any
) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        app.text_source = "fable.txt"
        screen, seen = pilot.app.screen, 0
        page, status = await lessons_page(pilot, until), screen.query_one("#lesson-status", StatusLine)
        text, lessons_beside = screen.query_one(Markdown), screen.query_one("#learn-list-column")
        await pilot.press("enter")
        await until(pilot, lambda: page.reader.live is not None and screen.is_settled and page.reader.is_settled)
        view = page.reader.live.view
        drawn = [view.render_line(y).text.rstrip(" │") for y in range(view.size.height)]
        assert any(line.endswith("64 numbers per token") for line in drawn), "the whole path has room beside the lessons"
        assert not [line for line in drawn if line.endswith("…")]
        assert any("│ a│ big│" in line and "…" not in line for line in drawn), "all tokens"
        await resize(pilot, 200, 60)
        await until(pilot, lambda: any(len(view.render_line(y).text.rstrip(" │")) > 120 for y in range(view.size.height)))
        await resize(pilot, 120, 40)
        await press(pilot, "z")
        assert not lessons_beside.display
        assert view.outer_size.width == 120, "enlarged it takes theirs"
        await press(pilot, "escape")
        assert lessons_beside.display
        await pilot.press("z")
        page.close_reading()
        await pilot.pause()
        assert lessons_beside.display

        def is_answered(lesson: Lesson, at: int) -> bool:
            """The step is shown, with its live widget, and nothing is waited for."""
            reader, step = page.reader, lesson.steps[at]
            is_shown = reader.lesson == lesson and reader.step == at and text.source == lesson_markdown(step.text)
            return is_shown and (reader.live is None) == (step.live is None) and screen.is_settled and reader.is_settled

        await resize(pilot, 80, 24)
        await pilot.press("enter")
        for lesson in lessons():
            for at, step in enumerate(lesson.steps):
                await until(pilot, lambda: is_answered(lesson, at))  # noqa: B023
                assert not status.has_class("-error"), (lesson.name, step.title, status.left)
                if (lesson.name, at) == ("attention", 0):
                    view = page.reader.live.view
                    assert view.top <= view.laid.spot(view.laid.followed()).line < view.top + view.window, "the chosen row"
                if (lesson.name, step.title) == ("attention", "Many heads"):
                    await pilot.press("right", "left")
                    await until(pilot, lambda: status.left.startswith("Head 1.1 at"))
                    await pilot.pause()
                    told = " ".join(status.render_line(y).text.strip() for y in range(status.size.height))
                    assert "on itself" in told
                    assert "on “ there”." in told, "the sentence is whole at 80 columns"
                seen += 1
                screen.set_focus(screen.query_one(LessonText))
                await pilot.press("space")
        await until(pilot, lambda: isinstance(pilot.app.focused, LessonList))
        assert not page.has_class("-reading")
        assert seen == sum(len(lesson.steps) for lesson in lessons())
        assert f"{len(lessons())} of {len(lessons())} done" in str(page.list.border_subtitle)
        await until(pilot, lambda: all(read_progress(tmp_path / "runs")[0].of(lesson.name).is_done for lesson in lessons()))
