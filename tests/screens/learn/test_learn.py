"""Learn: the lessons, and the softmax that is computed from what is typed."""

import asyncio
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Markdown

from lab.engine.method_registry import OPEN, OpenParams
from lab.lessons.glossary import TERMS
from lab.lessons.lesson import CLAIMS, lessons, lessons_and_problems
from lab.views.blocks import Paragraph, Table
from lab.views.screen_state import ScreenState
from lab.views.softmax_table import softmax_table
from screens.action_index import NAMED_KEY, all_actions, with_keys
from screens.app import LabApp
from screens.blocks.block_view import BlockView
from screens.dialogs.ask import RunChooser
from screens.learn.learn_page import LearnEngine
from screens.learn.learn_screen import LearnScreen
from screens.learn.lesson_reader import LIVE_WIDGETS, TRY, LessonText, asks_guess, lesson_markdown
from screens.learn.lessons_page import LessonList, LessonsPage
from screens.learn.live.live_widget import LiveWidget
from screens.learn.live.typed_numbers import LABELS, SCORES, ScoreInput, worked
from screens.messages import RunsChanged
from screens.widgets.choice import Choice
from screens.widgets.status_line import StatusLine
from tests.screens.fake_wire import SilentEngine
from tests.screens.learn.conftest import hold, learn_app, lessons_page
from tests.screens.pilot_waits import LONGEST_WAIT, resize, rows_of

SOFTMAX, ATTENTION = map([lesson.name for lesson in lessons()].index, ("softmax", "attention"))


def table(pilot: Pilot[None]) -> Table:
    view = pilot.app.screen.query_one("#softmax-table", BlockView).view
    assert view is not None
    found = view.blocks[0]
    assert isinstance(found, Table)
    return found


def column(found: Table, title: str) -> list[str]:
    at = [column.title for column in found.columns].index(title)
    return [row[at].text for row in found.rows]


async def open_softmax(pilot: Pilot[None], until: Any, extra: str = "") -> None:
    page = await lessons_page(pilot, until)
    page.query_one(LessonList).highlighted = SOFTMAX
    await pilot.press("enter")
    await until(pilot, lambda: pilot.app.screen.query("#softmax-table"))
    if extra:
        lives = [step.live for step in page.lessons[SOFTMAX].steps]
        at = next(at for at, live in enumerate(lives) if live is not None and live.options.get("with") == extra)
        page.reader.show(page.lessons[SOFTMAX], at)
        await until(pilot, lambda: page.reader.live is not None and page.reader.live.options.get("with") == extra)
    await pilot.press("tab")
    await until(pilot, lambda: isinstance(pilot.app.focused, ScoreInput))


async def test_a_live_widget_that_was_left_says_nothing_more_and_at_its_end_a_lesson_names_the_key_to_the_next(
    app: LabApp, until: Any
) -> None:
    places = [(lesson, at) for lesson in lessons() for at, step in enumerate(lesson.steps) if step.live]
    async with app.run_test(size=(80, 24)) as pilot:
        page = await lessons_page(pilot, until)
        reader, status = page.reader, pilot.app.screen.query_one("#lesson-status", StatusLine)
        assert reader.live is None
        reader.show(*places[0])
        await until(pilot, lambda: reader.live is not None)
        left = reader.live
        assert left is not None
        left.say("late", error=True)
        await until(pilot, lambda: status.left == "late")
        reader.show(*places[1])
        await until(pilot, lambda: reader.live not in (None, left))
        reader.post_message(LiveWidget.Said(left, "later", is_error=True))
        await pilot.pause()
        assert "late" not in status.left
        assert not status.has_class("-error")
        assert not reader._engine.is_idle
        reader.show(next(lesson for lesson in lessons() if not lesson.steps[0].live), 0)
        await until(pilot, lambda: reader.live is None and reader._engine.is_idle)  # what was left asks nothing more

        text = page.query_one(LessonText)
        for at, words in (
            (0, f"not done: 3 steps · space opens lesson {page.lessons[1].number}"),
            (-1, "space ends, [ asks the quiz"),
        ):
            lesson = page.lessons[at]
            page._open(lesson.name, len(lesson.steps) - 1)
            await until(pilot, lambda words=words: words in str(text.border_subtitle))
            text.focus()
            await pilot.press("space" if at == 0 else "[")
            await until(pilot, lambda at=at: page.reader.lesson is page.lessons[1] if at == 0 else not page.is_shown)
        assert pilot.app.screen.page == "quiz"  # type: ignore[attr-defined]


async def test_typing_and_arrows_change_the_worked_example_and_escape_leads_out_a_level_at_a_time(
    app: LabApp, until: Any
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await open_softmax(pilot, until)
        found = table(pilot)
        assert column(found, "exp") == ["1.35", "2.23", "3.32", "1.65"]
        assert column(found, "softmax") == ["0.16", "0.26", "0.39", "0.19"], "as in the notes"
        assert found.total is not None
        assert [cell.text for cell in found.total] == ["Σ", "", "8.54", "1.00"]
        before = column(found, "softmax")
        await hold(pilot, *["up"] * 9)
        first = pilot.app.screen.query(ScoreInput).first()
        await until(pilot, lambda: first.value == "1.2")
        after = column(table(pilot), "softmax")
        assert after[0] == after[2]
        assert all(a != b for a, b in zip(after, before, strict=True))
        await pilot.press("space", "m")
        assert first.value == "1.2", "only what may be a number is typed"
        assert column(table(pilot), "softmax") == after
        await pilot.press("ctrl+u", "minus")
        view = pilot.app.screen.query_one("#softmax-table", BlockView).view
        assert view is not None
        assert view.blocks == [Paragraph("The score of The must be a number, not '-'.")]
        await pilot.press("3")
        assert pilot.app.current_mode == "learn", "a digit in a score is part of the score"
        text = pilot.app.screen.query_one(LessonText)
        assert "space" not in str(text.border_subtitle)
        await pilot.press("escape")
        assert isinstance(pilot.app.focused, LessonText)
        assert "space goes on" in str(text.border_subtitle)
        await pilot.press("escape")
        assert isinstance(pilot.app.focused, LessonList)
        await pilot.press("escape")
        assert pilot.app.current_mode == "learn"

        await open_softmax(pilot, until, "max")
        before = column(table(pilot), "softmax")
        pilot.app.screen.query_one(Choice).focus()
        await pilot.press("right")
        assert column(table(pilot), "exp")[2] == "1.00"
        assert column(table(pilot), "softmax") == before, "subtracting the largest changes exp and not the softmax"


def test_the_worked_line_is_arithmetic_on_the_printed_digits() -> None:
    assert worked(softmax_table(LABELS, SCORES)) == "dog: exp(1.20) = 3.32, and 3.32 ÷ 8.54 = 0.39."


@pytest.mark.parametrize(("lesson", "size"), [("first", (120, 40)), ("softmax", (80, 24))], ids=["first-120x40", "softmax-80x24"])
def test_picture(lesson: str, size: tuple[int, int], app: LabApp, snap_compare: Any, until: Any) -> None:
    async def go(pilot: Pilot[None]) -> None:
        await (open_softmax if lesson == "softmax" else lessons_page)(pilot, until)
        await pilot.pause()
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=go)


def test_a_key_of_a_mode_in_a_lesson_is_a_link_and_other_keys_are_not() -> None:
    assert lesson_markdown("**See it:** press `5`: `j`, then in `4` or `9`.") == (
        "**See it:** [press `5`](mode:inspect): `j`, then [in `4`](mode:train) or `9`."
    )
    assert all("](mode:" in lesson_markdown(lesson.text) for lesson in lessons() if "ress `" in lesson.text)


async def test_lessons_of_one_s_own_with_mistakes_leave_the_lab_open(
    app: LabApp, until: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A title that looks like markup is shown as it is; a file that cannot be read is told of; a bad option is, too."""
    folder = tmp_path / "lessons"
    folder.mkdir()
    block = "```live predict-next-token\nposition: 0\n```"
    (folder / "01-water.md").write_text(f"# Water [/b] [red\nText.\n\n## Step [/]\n{block}\n")
    (folder / "02-fire.md").write_bytes(b"\xff\xfe")
    monkeypatch.setattr("screens.learn.lessons_page.lessons_and_problems", lambda: lessons_and_problems(folder))
    told: list[str] = []
    monkeypatch.setattr(LessonsPage, "notify", lambda self, words, **kwargs: told.append(words))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = pilot.app.screen
        await lessons_page(pilot, until)
        assert "Water [/b] [red" in str(screen.query_one(LessonList).get_option_at_index(0).prompt)
        assert len(told) == 1
        assert "no UTF-8 text" in told[0]
        await pilot.press("enter", "space")
        await until(pilot, lambda: "step 2/2" in str(screen.query_one(LessonText).border_title))
        status = screen.query_one("#lesson-status", StatusLine)
        await until(pilot, lambda: status.has_class("-error"))
        assert "position of a live widget must be a number from 1" in str(status.left)


class PromptEngine(SilentEngine):
    """Answers at once; `pid` is None once its process was killed, as of the real client."""

    starts = 1
    pid = 1

    async def call(self, *asked: Any, **options: Any) -> Any:
        return "facts"


async def test_after_a_killed_engine_an_answer_waits_for_pytorch_again() -> None:
    process = PromptEngine()
    engine = LearnEngine(process)
    assert engine.is_loading
    answers: list[Any] = []
    engine.ask("live", OPEN, OpenParams(run="demo"), answers.append, answers.append)
    async with asyncio.timeout(LONGEST_WAIT):
        while not engine.is_idle:
            await asyncio.sleep(0)
    assert answers == ["facts"]
    assert not engine.is_loading
    process.pid = None
    assert engine.is_loading


async def test_a_lesson_keeps_its_model_until_another_is_chosen_and_its_border_names_it(
    home: Path, make_run: Any, until: Any
) -> None:
    make_run("tale")
    app = learn_app(SilentEngine)
    async with app.run_test(size=(80, 24)) as pilot:
        page = await lessons_page(pilot, until)
        await until(pilot, lambda: app.runs_known)
        assert app.run_name == "tale"
        assert page.screen_state().run == "demo", "the newest run is that of the other modes"
        text = page.query_one(LessonText)

        async def border(lesson: str, step: int, words: str) -> None:
            page.restore_state(ScreenState(mode="learn", page="lessons", lesson=lesson, step=step))
            await until(pilot, lambda: str(text.border_subtitle).startswith(words))

        await border("repetition", 0, "model: induction, fixed here · ")
        await border("repetition", 2, "model: demo, not your run · m · ")
        await pilot.press("m")
        await until(pilot, lambda: isinstance(app.screen, RunChooser))
        await pilot.press(*"tale", "enter")
        await until(pilot, lambda: page.screen_state().run == "tale")
        await until(pilot, lambda: str(text.border_subtitle).startswith("model: tale · m · "))
        app.run_name = "demo"
        await pilot.pause()
        assert page.screen_state().run == "tale"
        shutil.rmtree(home / "tale")
        app.post_message(RunsChanged())
        await until(pilot, lambda: page.screen_state().run == "demo")
        assert [each.message for each in app._notifications] == ["tale is gone: lessons go on with demo; m chooses another."]


PROSE = {
    **{f"lesson {lesson.name}": lesson.text for lesson in lessons()},
    **{path.name: path.read_text(encoding="utf-8") for path in (*CLAIMS.rglob("*.md"), TERMS)},
    **{
        part.__name__: part.HELP or ""
        for part in (LearnScreen, *LIVE_WIDGETS.values(), *(part for page in LearnScreen.PAGES for part in (page, *page.PARTS)))
    },
}
"""The texts of Learn that may name keys."""


def test_prose_names_a_key_by_its_action_so_that_it_follows_the_bindings() -> None:
    actions = {action.id for action in all_actions()}
    unknown = {where: set(NAMED_KEY.findall(text)) - actions for where, text in PROSE.items()}
    assert {where: ids for where, ids in unknown.items() if ids} == {}
    by_hand = {where: re.findall(r"`([^\W\d_jk]|[+*<>/{}\[\]])`", text) for where, text in PROSE.items()}
    assert {where: keys for where, keys in by_hand.items() if keys} == {}, "all but `j` and `k`, which move everywhere"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{key:live.left} and {key:live.head}", "`<` and `]`"),
        ("{key:lesson.previous}, {key:merges.one}", "`backspace`, `enter`"),
        ("{key:scaling.text}", "`ctrl+p` and “Train on the text chosen in Data, or on the usual one”"),
        ("{key:no.such} and {share:.1%}", "{key:no.such} and {share:.1%}"),
    ],
)
def test_the_key_of_an_action_stands_in_prose(text: str, shown: str) -> None:
    assert with_keys(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("A model.\n\n**Try:** {key:live.left} and\n{key:live.right}.\n\nMore.", "A model.\n\n\n\nMore."),
        ("One row. **Try:** {key:live.head}. Then\nanother.", "One row. "),
        (
            "Remember: forward.\n{key:lesson.open} opens it, and {key:train.step} a step. Next: more.",
            "Remember: forward.\n Next: more.",
        ),
        ("Lessons compute on `demo` unless {key:learn.model} chooses.", "Lessons compute on `demo` unless `m` chooses."),
    ],
)
def test_a_preview_leaves_out_what_keys_do_while_a_step_is_read(text: str, shown: str) -> None:
    assert lesson_markdown(text, is_preview=True) == shown


def test_no_preview_names_a_key_that_works_only_while_a_lesson_is_read() -> None:
    left = {lesson.name: set(NAMED_KEY.findall(TRY.sub("", step.text))) for lesson in lessons() for step in lesson.steps}
    assert {name: keys for name, keys in left.items() if keys - {"learn.model"}} == {}


async def test_beside_the_list_stands_all_that_a_lesson_has_to_come_and_a_key_in_it_is_a_link(app: LabApp, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        page = await lessons_page(pilot, until)
        await until(pilot, lambda: page.reader.lesson is not None)
        text, box = pilot.app.screen.query_one("#learn-text", Markdown), page.query_one(LessonText)
        ends = [lesson_markdown(lesson.steps[-1].text, is_preview=True) for lesson in page.lessons]
        steps = page.lessons[SOFTMAX].steps
        page.list.highlighted = SOFTMAX
        await until(pilot, lambda: text.source.endswith(lesson_markdown(steps[0].text, is_preview=True)))
        await resize(pilot, 200, 80)  # tall enough for a line on what is in each lesson
        await until(pilot, lambda: text.source.endswith(ends[SOFTMAX]))
        assert all((each.title in text.source) != asks_guess(each) for each in steps[1:]), "a guess waits until it is read"
        assert any("**Try:**" in each.text for each in steps)
        assert "Try:" not in text.source, "keys that work while it is read"
        assert box.border_title == "7. Softmax, with your own numbers · 8 steps"
        await until(pilot, lambda: page.reader.live is not None and page.reader.live.region.width)
        live = page.reader.live
        assert live is not None
        assert (live.region.x, live.region.y) == (box.region.right, box.region.y), "its picture stands beside its text"
        assert isinstance(pilot.app.focused, LessonList), "which leaves the keys to the list"
        assert box.region.bottom == page.list.region.bottom == live.region.bottom
        outline = str(page.list.get_option_at_index(SOFTMAX).prompt)
        assert "Why exponentials?" in outline
        assert "Predict" not in outline
        page.list.highlighted = ATTENTION  # its first step is one paragraph of several lines
        await until(pilot, lambda: text.source.endswith(ends[ATTENTION]))
        await until(pilot, lambda: any("So far each token knows only itself" in row for row in rows_of(pilot)))
        await pilot.press("tab")
        await until(pilot, lambda: isinstance(pilot.app.focused, LessonText))
        await pilot.press("space")
        await until(pilot, lambda: page.reader.live is not None and page.has_class("-reading"))
        assert text.source == lesson_markdown(page.lessons[ATTENTION].steps[0].text), "space goes on, as the border says"

        page.close_reading()
        page.list.highlighted = [lesson.name for lesson in page.lessons].index("cleaning")
        await until(pilot, lambda: page.is_settled and "press `2`" in text.source)
        await pilot.pause()
        y, x = next((y, row.index("press 2")) for y, row in enumerate(rows_of(pilot)) if "press 2" in row)
        await pilot.click(offset=(x + 6, y))
        await until(pilot, lambda: app.current_mode == "data")
