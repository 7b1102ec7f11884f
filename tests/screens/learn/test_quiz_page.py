"""Learn: the quiz, taken twice; answers changed, and answers not known."""

from pathlib import Path

import pytest

from lab.lessons.guess_score import read_predictions
from lab.lessons.quiz import quiz
from lab.views.blocks import Table
from screens.app import LabApp
from screens.blocks.block_view import BlockView
from screens.learn.quiz_page import QuizPage
from screens.widgets.guess_view import GuessView
from tests.fixture_types import Until
from tests.screens.learn.conftest import hold, lessons_page


async def test_its_answers_are_kept_and_not_shown_the_first_time_and_the_second_time_shows_the_gain(
    app: LabApp, home: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three questions of all. An answer can be changed from the next question, and not to know is an answer."""
    questions, count = quiz()[:3], 3
    for page in ("quiz_page", "lessons_page"):
        monkeypatch.setattr(f"screens.learn.{page}.quiz", lambda: questions)
    async with app.run_test(size=(80, 24)) as pilot:
        lessons = await lessons_page(pilot, until)
        await until(pilot, lambda: "take the quiz first: press [" in str(lessons.list.border_title))
        await pilot.press("left_square_bracket")
        page = pilot.app.screen.query_one(QuizPage)
        await until(pilot, lambda: page.results is not None)

        def asked(at: int) -> bool:
            found = page.query(GuessView)
            state = found.first().state if found else None
            return state is not None and state.is_open and questions[at].question in state.question.question

        async def answer(at: int, choice: int) -> None:
            await until(pilot, lambda: asked(at))
            await hold(pilot, *["down"] * choice, "enter")

        await pilot.press("enter")
        await until(pilot, lambda: asked(0))
        assert str(page.query_one(GuessView).border_title).startswith("quiz · "), "who would only guess says so instead"
        assert pilot.app.screen.active_bindings["enter"].binding.description == "Answer"
        await pilot.press("backspace")  # none is before the first
        assert asked(0)
        wrong = (questions[0].right + 1) % 4
        await answer(0, wrong)
        await until(pilot, lambda: asked(1))
        await pilot.press("backspace")
        await until(pilot, lambda: asked(0))
        state = page.query_one(GuessView).state
        assert state is not None
        assert state.cursor == wrong, "at the answer that was given"
        await hold(pilot, *["up"] * (wrong - questions[0].right) if wrong else ["down"] * questions[0].right, "enter")
        await answer(1, questions[1].right)
        await until(pilot, lambda: asked(2))
        await pilot.press("right_square_bracket", "left_square_bracket")  # it goes on where it was left
        await until(pilot, lambda: asked(2))
        await pilot.press("escape")
        await until(pilot, lambda: not page.query(GuessView))
        await pilot.press("enter")
        await until(pilot, lambda: asked(2))
        await pilot.press("d")
        results = page.query_one(BlockView)
        await until(pilot, lambda: results.view is not None and results.view.sentence)
        assert results.view.sentence.startswith(
            f"Before: 2 of {count} right; guessing gives {count / 4:.1f} on average. After the last lesson, enter asks them again"
        )
        await until(pilot, lambda: app.focused is results)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: str(lessons.list.border_title) == "lessons")
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: app.focused is results)
        await pilot.press("enter", "a")
        for at in range(3):
            await answer(at, questions[at].right)
        await until(pilot, lambda: "gain of 1" in results.view.sentence)
        table = results.view.blocks[0]
        assert isinstance(table, Table)
        answers = [[cell.text for cell in row[2:]] for row in table.rows]
        assert answers == [["✓", "✓"], ["✓", "✓"], ["?", "✓"]], "the answer as it was changed"
        kept, problem = read_predictions(home)
        assert problem == ""
        sources = list(dict.fromkeys(each.source for each in kept))
        assert sources == [f"quiz {number} of {count}" for number in (1, 2)]
        assert [each.is_sure for each in kept if each.source == sources[1]] == [True, False, False]
