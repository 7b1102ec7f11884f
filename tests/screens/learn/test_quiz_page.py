"""Learn: the quiz, taken twice."""

from pathlib import Path

from lab.lessons.learner.predictions import read_predictions
from lab.lessons.learner.quiz import quiz
from screens.app import LabApp
from screens.blocks.block_view import BlockView
from screens.learn.quiz_page import QuizPage
from screens.widgets.guess_view import GuessView
from tests.fixture_types import Until
from tests.screens.learn.conftest import lessons_page


async def test_its_answers_are_kept_and_not_shown_the_first_time_and_the_second_time_shows_the_gain(
    app: LabApp, home: Path, until: Until
) -> None:
    questions, count = quiz(), len(quiz())
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
            await pilot.press(*["down"] * choice, "enter")

        await pilot.press("enter")
        for at in range(3):
            await answer(at, questions[at].right)
        await until(pilot, lambda: asked(3))
        await pilot.press("right_square_bracket", "left_square_bracket")  # it goes on where it was left
        await until(pilot, lambda: asked(3))
        await pilot.press("escape")
        await until(pilot, lambda: not page.query(GuessView))
        await pilot.press("enter")
        await until(pilot, lambda: asked(3))
        for at in range(3, count):
            await answer(at, (questions[at].right + 1) % 4)
        results = page.query_one(BlockView)
        await until(pilot, lambda: results.view is not None and results.view.sentence)
        assert results.view.sentence.startswith(
            f"Before: 3 of {count} right; guessing gives {count / 4:.1f} on average. After the last lesson, enter asks them again"
        )
        await until(pilot, lambda: app.focused is results)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: str(lessons.list.border_title) == "lessons")
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: app.focused is results)
        await pilot.press("enter", "a")
        for at in range(count):
            await answer(at, questions[at].right)
        await until(pilot, lambda: f"gain of {count - 3}" in results.view.sentence)
        kept, problem = read_predictions(home)
        assert (len(kept), problem) == (2 * count, "")
        assert [each.source for each in kept] == [f"quiz {number} of {count}" for number in (1, 2) for _ in questions]
        assert [each.is_sure for each in kept[count - 1 : count + 2]] == [False, True, False]
