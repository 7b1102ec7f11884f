"""Guesses in a lesson, on a tiny real model: nothing of the answer is drawn before, then it is, with the score."""

from pathlib import Path

import pytest
from textual.widgets import Static

from lab.engine.method_registry import GuessParams
from lab.engine.prompt_methods import PromptMethods
from lab.lessons.guess_score import read_predictions, score_of
from lab.lessons.lesson import Lesson, LessonStep, Live, parse_lesson
from lab.views.blocks import GuessChoice, GuessQuestion
from screens.app import LabApp
from screens.widgets.guess_view import ANSWERED, GuessView
from screens.widgets.status_line import StatusLine
from tests.fixture_types import Until
from tests.lab.engine.conftest import MakeRun, _one_thread, make_run
from tests.screens.in_process_engine import InProcessEngine
from tests.screens.learn.conftest import learn_app, lessons_page

__all__ = ["_one_thread", "make_run"]


LESSON = """# Guesses

```live predict-next-token
prompt: The big dog ran
```

## An experiment

```live predict-experiment
experiment: vocabulary
question: How many tokens has this model's vocabulary?
choice-a: at most 1,000
right-a: own_vocabulary <= 1000
choice-b: more
answer: It has {own_vocabulary}.
```
"""


def drawn(guess: GuessView) -> str:
    return "\n".join(guess.draw(line).text.rstrip() for line in range(guess.extent[0]))


@pytest.fixture
def app(home: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> LabApp:
    make_run("tiny")
    monkeypatch.setattr("screens.learn.live.guess_widgets.MOST_LOTTERIES", 0)  # it is hardly trained
    lesson = parse_lesson(Path("01-guesses.md"), LESSON)
    monkeypatch.setattr("screens.learn.lessons_page.lessons_and_problems", lambda: ([lesson], []))
    return learn_app(InProcessEngine, run="tiny")


async def test_a_lesson_asks_reveals_and_keeps_the_score(app: LabApp, tmp_path: Path, until: Until) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        page = await lessons_page(pilot, until)
        await pilot.press("enter")

        def guess() -> GuessView:
            return pilot.app.screen.query_one(GuessView)

        async def asked() -> GuessView:
            await until(pilot, lambda: pilot.app.screen.query(GuessView) and guess().is_open)
            return guess()

        async def scored() -> str:
            await until(pilot, lambda: guess().is_settled and guess().state.score)
            return drawn(guess())

        first = await asked()
        assert "%" not in drawn(first)
        assert page.reader.check_action("open", ()) is False, "the full screen would show the answer"
        last = first.state.question.position
        right = first.state.question.right[0]
        wrong = next(at for at in range(5) if at not in first.state.question.right)
        assert "a if you are sure" in str(first.border_title)
        await pilot.press("a", *["down"] * wrong)
        assert "· sure" in str(first.border_title)
        await pilot.press("enter")
        text = await scored()
        assert "✗ Not so, and you were sure. Most probable is" in text
        await until(pilot, lambda: page.reader.query_one(StatusLine).left == "Answered: space goes on.")
        assert first.state.question.choices[right].text in text
        assert "Prediction: 0 of 1 right, 0.20 by chance" in text
        assert page.reader.check_action("open", ()) is True

        await pilot.press("n")
        second = await asked()
        assert second.state.question.position == last - 1
        await pilot.press(*["down"] * second.state.question.right[0], "enter")
        text = await scored()
        assert "✓ Right." in text
        assert "Predictions: 1 of 2 right, 0.40 by chance; sure of 1, 1 of them wrong" in text.replace("\n", " ")

        await pilot.press("space")
        await until(pilot, lambda: page.reader.step == 1)
        await asked()
        await pilot.press("enter")
        assert "✓ Right. It has 275." in await scored()
        picture = page.reader.live.view
        assert picture.size.height >= 7, "the answer leaves its picture room on a small screen"
        assert not picture.view.sentence, "the answer says it"

        await pilot.press("backspace")
        await until(pilot, lambda: page.reader.step == 0)
        again = await asked()
        await pilot.press(*["down"] * again.state.question.right[0], "enter")
        assert ANSWERED in (await scored()).replace("\n", " ")

        await pilot.press("escape", "escape")
        kept = read_predictions(tmp_path)[0]
        assert len(kept) == 4
        words = score_of(kept).text
        assert words.startswith("predictions: 2 of 3 right")
        await until(pilot, lambda: str(pilot.app.screen.query_one("#learn-score", Static).render()) == words)


async def test_a_prompt_that_is_too_short_for_the_place_is_asked_about_at_another(
    app: LabApp, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last token's answer is what an earlier step may have shown."""
    steps = []
    for position in ("4", "90"):
        options = {"prompt": "The big dog ran fast.", "position": position, "shorter": "2"}
        steps.append(LessonStep(position, "", Live("predict-next-token", options)))
    lesson = Lesson("guesses", 1, "Guesses", tuple(steps))
    monkeypatch.setattr("screens.learn.lessons_page.lessons_and_problems", lambda: ([lesson], []))
    async with app.run_test(size=(80, 24)) as pilot:
        await lessons_page(pilot, until)
        await pilot.press("enter")
        for asked in (4, 2):
            await until(pilot, lambda: any(guess.is_open for guess in pilot.app.screen.query(GuessView)))
            assert pilot.app.screen.query_one(GuessView).state.question.position == asked - 1
            await pilot.press("enter", "space")


async def test_a_guess_that_would_be_a_lottery_is_asked_about_another_place(
    app: LabApp, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def question(self: PromptMethods, params: GuessParams) -> GuessQuestion:
        position = 3 if params.position is None else params.position
        asked.append(position)
        choices = (GuessChoice("a"), GuessChoice("b"))
        return GuessQuestion(params.about, f"at {position}", choices, (0,), position=position, is_lottery=position > 1)

    monkeypatch.setattr("screens.learn.live.guess_widgets.MOST_LOTTERIES", 20)
    monkeypatch.setattr("lab.engine.prompt_methods.PromptMethods.guess", question)
    lesson = Lesson("guesses", 1, "Guesses", (LessonStep("", "", Live("predict-next-token", {})),))
    monkeypatch.setattr("screens.learn.lessons_page.lessons_and_problems", lambda: ([lesson], []))
    async with app.run_test(size=(80, 24)) as pilot:
        await lessons_page(pilot, until)
        await pilot.press("enter")
        await until(pilot, lambda: any("at 1" in str(guess.state) for guess in pilot.app.screen.query(GuessView)))
        assert asked == [3, 2, 1]
