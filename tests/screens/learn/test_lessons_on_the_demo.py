"""Whatever a step of a lesson asks the engine, asked of the real one on the demo: nothing is refused, nothing stays empty."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, Markdown

from lab.lessons.lesson import Lesson, LessonStep, lessons
from lab.views.screen_state import ScreenState
from screens.app import LabApp
from screens.blocks.block_view import BlockView
from screens.learn.lesson_reader import SECONDS_AT_REST, LessonText, lesson_markdown
from screens.learn.lessons_page import LessonList
from screens.learn.live.draw_widgets import DrawWidget
from screens.learn.live.live_registry import asks_guess
from screens.learn.live.live_widget import model_of
from screens.widgets.guess_view import GuessView
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


LATER_VIEWS = {
    "whole-path": ["from text to the next token", "Text becomes numbers · tokens"],
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


ASKED = ("stage", "run", "prompt", "position", "typed", "size", "unit", "weights")


def asked_by(step: LessonStep) -> tuple[str | None, ...]:
    """What tells a step's question from another's: its other options are for keys, and a study's record is not the engine's."""
    live = step.live
    if live is None:
        return ()
    experiment = live.options.get("experiment") or (live.options.get("name") if live.widget == "experiment" else None)
    return (experiment or live.widget, *(live.options.get(each) for each in ASKED))


async def test_each_live_widget_of_the_lessons_is_answered_and_the_last_step_of_all_leads_back_to_the_list(
    app: LabApp, until: Any
) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        app.text_source = "fable.txt"
        screen = pilot.app.screen
        page, status = await lessons_page(pilot, until), screen.query_one("#lesson-status", StatusLine)
        text, lessons_beside = screen.query_one("#learn-text", Markdown), screen.query_one("#learn-list-column")
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

        def asks_for_guess() -> bool:
            drawing = [each.drawing for each in screen.query(DrawWidget)]
            return any(each.is_open for each in screen.query(GuessView)) or any(not each.is_revealed for each in drawing if each)

        await resize(pilot, 80, 24)
        steps = [(lesson, at, step) for lesson in lessons() for at, step in enumerate(lesson.steps)]
        steps.sort(key=lambda place: asks_guess(place[2]))  # of an experiment and a guess on it the guess, which shows both
        for lesson, at, step in {asked_by(place[2]): place for place in steps}.values():
            page._open(lesson.name, at)
            with app.batch_update():
                await until(pilot, lambda: is_answered(lesson, at))  # noqa: B023
            await pilot.pause(0)  # drawn once
            assert not status.has_class("-error"), (lesson.name, step.title, status.left)
            if asks_guess(step):
                await pilot.press("up", "enter")
                await until(pilot, lambda: not asks_for_guess() and page.reader.is_settled)

        attention = next(lesson for lesson in lessons() if lesson.name == "attention")
        page._open("attention", 0)
        await until(pilot, lambda: is_answered(attention, 0))
        view = page.reader.live.view
        await until(pilot, lambda: 0 <= view.laid.spot(view.laid.followed()).line - view.top < view.window)  # the chosen row
        page._open("attention", [step.title for step in attention.steps].index("Many heads"))
        await until(pilot, lambda: is_answered(attention, page.reader.step) and page.reader.step)
        await pilot.press("right", "left")
        await until(pilot, lambda: status.left.startswith("Head 1.1 at"))
        await pilot.pause()
        told = " ".join(status.render_line(y).text.strip() for y in range(status.size.height))
        assert "on itself" in told
        assert "on “ there”." in told, "the sentence is whole at 80 columns"

        page._open(lessons()[-1].name, len(lessons()[-1].steps) - 1)
        await until(pilot, lambda: is_answered(lessons()[-1], len(lessons()[-1].steps) - 1))
        screen.set_focus(screen.query_one(LessonText))
        await pilot.press("space")
        await until(pilot, lambda: isinstance(pilot.app.focused, LessonList))
        assert not page.has_class("-reading")


async def test_escape_leaves_the_field_of_an_experiment_for_its_picture_whose_keys_go_on(app: LabApp, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        page = await lessons_page(pilot, until)
        page.restore_state(ScreenState(mode="learn", page="lessons", lesson="simulator-of-documents", run="demo"))
        await until(pilot, lambda: page.reader.live is not None and page.reader.is_settled)
        await pilot.press("e", "escape")
        assert app.focused is page.reader.query_one(BlockView)
        await pilot.press("e")
        assert isinstance(app.focused, Input)
