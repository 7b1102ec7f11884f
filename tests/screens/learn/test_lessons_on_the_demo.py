"""The steps of the lessons on the demo: what each asks is answered, and a walk through large and small screens."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from lab.lessons.lesson import Lesson, lessons
from lab.views.screen_state import ScreenState
from screens.app import LabApp
from screens.blocks.block_view import BlockView
from screens.learn.learn_page import LearnEngine
from screens.learn.lesson_reader import SECONDS_AT_REST, LessonText, live_widget
from screens.learn.lessons_page import LessonList
from screens.learn.live.computed_views import ExperimentWidget
from screens.learn.live.engine_view import EngineView
from screens.learn.live.guess_widgets import EngineGuess
from screens.learn.live.live_widget import model_of
from screens.widgets.status_line import StatusLine
from tests.lab.conftest import one_core, small_experiments
from tests.screens.in_process_engine import InProcessEngine
from tests.screens.learn.conftest import learn_app, lessons_page
from tests.screens.pilot_waits import press, resize

__all__ = ["one_core", "small_experiments"]
pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabApp:
    monkeypatch.setenv("LLMLAB_HOME", str(tmp_path / "runs"))
    return learn_app(InProcessEngine)


async def test_the_engine_answers_what_each_step_of_the_lessons_asks(small_experiments: None) -> None:
    """Without a screen. What lessons show of the run `induction` is checked in `test_induction` and `test_repetition`."""
    engine, asked = InProcessEngine(), set[str]()
    for lesson in lessons():
        for step in lesson.steps:
            if step.live is None or step.live.options.get("run") == "induction":
                continue
            widget = live_widget(step.live, LearnEngine(engine))
            model = model_of("demo")
            model = replace(model, prompt=step.live.options.get("prompt", model.prompt))
            if isinstance(widget, ExperimentWidget) and widget.typed:
                name, _, text = step.live.options["typed"].partition("=")
                widget.typed, widget.inputs = "", {**widget.inputs, name.strip(): text.strip()}
            if isinstance(widget, EngineView):
                method, params = widget.question(model)
            elif isinstance(widget, EngineGuess):
                widget.model = model
                method, params = widget.engine_question(model)
            else:
                continue  # it has a test of its own
            if repr(params) in asked:
                continue
            asked.add(repr(params))
            answer = await engine.call(method, params)
            if isinstance(widget, EngineView):
                assert widget.view_of(answer).blocks, (lesson.name, step.title)
            else:
                assert widget.question_of(answer).choices, (lesson.name, step.title)


LATER_VIEWS = {
    "next-token": ["windows and targets"],  # the next step shows the same, and then comes a guess
    "attention": ["layer 1 · attention · head 1 · pattern", "Query, key, value · layer 1 · attention · head 1 · q, k, v"],
}
"""What stands beside the text of a lesson on a large screen: its first live view and those of later steps, until a guess."""


async def test_beside_a_lesson_to_come_stand_the_live_views_of_its_steps_until_a_guess(app: LabApp, until: Any) -> None:
    async with app.run_test(size=(200, 60)) as pilot:
        page, names = await lessons_page(pilot, until), [lesson.name for lesson in lessons()]
        for lesson, titles in LATER_VIEWS.items():
            page.list.highlighted = names.index(lesson)

            def shown() -> list[str]:
                return [str(view.border_title) for view in page.query(BlockView)]

            await until(pilot, lambda: shown() == titles)  # noqa: B023
            await asyncio.sleep(3 * SECONDS_AT_REST)
            assert shown() == titles
            before = page.reader.live
            page.reader.show_model(model_of("demo"))  # as `m` does; several are then asked anew, one after the other
            await until(pilot, lambda: len(titles) == 1 or page.reader.live not in (None, before))  # noqa: B023
            await until(pilot, lambda: shown() == titles and page.reader.is_settled)  # noqa: B023
            *whole, last = page.query(BlockView)
            assert all(view.laid.height == view.window for view in whole), "no view above another is cut"
            assert last.region.bottom == page.list.region.bottom
            if last.laid.height > last.window:
                await pilot.press("ctrl+d")
                assert last.top > 0, "the one that has more lines"


async def test_a_walk_through_a_lesson_at_three_sizes_ends_in_the_list(app: LabApp, until: Any) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        screen = pilot.app.screen
        page, status = await lessons_page(pilot, until), screen.query_one("#lesson-status", StatusLine)
        lessons_beside = screen.query_one("#learn-list-column")

        async def open_step(lesson: Lesson, at: int) -> None:
            page._open(lesson.name, at)
            await until(pilot, lambda: (page.reader.lesson, page.reader.step) == (lesson, at) and page.reader.is_settled)
            assert not status.has_class("-error"), status.left

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

        await resize(pilot, 80, 24)
        attention = next(lesson for lesson in lessons() if lesson.name == "attention")
        await open_step(attention, 0)
        view = page.reader.live.view
        await until(pilot, lambda: 0 <= view.laid.spot(view.laid.followed()).line - view.top < view.window)  # the chosen row
        await open_step(attention, [step.title for step in attention.steps].index("Many heads"))
        await pilot.press("right", "left")
        await until(pilot, lambda: status.left.startswith("Head 1.1 at"))
        await pilot.pause()
        told = " ".join(status.render_line(y).text.strip() for y in range(status.size.height))
        assert "on itself" in told
        assert "on “ there”." in told, "the sentence is whole at 80 columns"

        page.restore_state(ScreenState(mode="learn", page="lessons", lesson="simulator-of-documents", run="demo"))
        await until(pilot, lambda: page.reader.lesson.name == "simulator-of-documents" and page.reader.is_settled)
        await pilot.press("e", "escape")
        assert app.focused is page.reader.query_one(BlockView), "escape leaves the field for the picture, whose keys go on"
        await pilot.press("e")
        assert isinstance(app.focused, Input)

        await open_step(lessons()[-1], len(lessons()[-1].steps) - 1)
        screen.set_focus(screen.query_one(LessonText))
        await pilot.press("space")
        await until(pilot, lambda: isinstance(pilot.app.focused, LessonList))
        assert not page.has_class("-reading")
