"""The quiz: its file, and the scores of its rounds."""

import pytest

from lab.core.errors import UserError
from lab.lessons.learner.predictions import QUIZ, LearnerPrediction, score_of
from lab.lessons.learner.quiz import QuizQuestion, parse_quiz, quiz, quiz_view, results_of, source_of
from lab.lessons.lesson import lessons
from lab.views.blocks import Paragraph, Table

GOOD = "# Quiz\n\n## One?\n- [ ] no\n- [x] yes\n\nLesson 3: Since.\n"


def test_twelve_questions_of_twelve_lessons_whose_right_choice_is_told_by_neither_its_place_nor_its_length() -> None:
    questions = quiz()
    assert len(questions) == len({each.question for each in questions}) == len({each.lesson for each in questions}) == 12
    assert all(len(each.choices) == 4 and max(map(len, (each.question, *each.choices))) < 150 for each in questions)
    places = [each.right for each in questions]
    assert all(2 <= places.count(at) <= 4 for at in range(4))
    longest = [max(range(4), key=lambda at, each=each: len(each.choices[at])) == each.right for each in questions]
    assert sum(longest) <= 5
    taught = {lesson.number for lesson in lessons()}
    assert {each.lesson for each in questions} <= taught | set(range(17, 26))


AGAIN = "After the last lesson, enter asks them again; the answers are shown then."


@pytest.mark.parametrize(
    ("before", "after"),
    [("- [x] yes", "- [ ] yes"), ("- [ ] no", "- [x] no"), ("- [ ] no\n", ""), ("Since.", ""), ("Lesson 3", "Lesson three")],
)
def test_a_question_in_another_form_is_refused_by_name(before: str, after: str) -> None:
    assert parse_quiz(GOOD) == [QuizQuestion("One?", ("no", "yes"), 1, "Since.", 3)]
    with pytest.raises(UserError, match=r"'One\?' of the quiz"):
        parse_quiz(GOOD.replace(before, after))


def answers(round_: int, right: int, count: int = 12) -> list[LearnerPrediction]:
    """The answers of a round: so many right ones first."""
    return [
        LearnerPrediction(
            time=1.0,
            kind=QUIZ,
            question=f"{at + 1}/12. {each.question}",
            choices=each.choices,
            chosen=each.right if at < right else (each.right + 1) % 4,
            right=(each.right,),
            source=source_of(round_),
            identity=each.question,
        )
        for at, each in enumerate(quiz()[:count])
    ]


@pytest.mark.parametrize(
    ("made", "sentence", "tells_answers"),
    [
        ([], "", False),
        (answers(1, 5, 7), "", False),
        (answers(1, 5), "Before: 5 of 12 right; guessing gives 3.0 on average. " + AGAIN, False),
        (answers(1, 5) + answers(1, 12), "Before: 5 of 12 right; guessing gives 3.0 on average. " + AGAIN, False),
        (answers(1, 5) + answers(2, 3, 4), "Before: 5 of 12 right; guessing gives 3.0 on average. " + AGAIN, False),
        (
            answers(1, 5) + answers(2, 10),
            "Before: 5 of 12 right; guessing gives 3.0 on average. After: 10 of 12, a gain of 5.",
            True,
        ),
        (answers(1, 5) + answers(2, 5), "Before: 5 of 12 right; guessing gives 3.0 on average. After: 5 of 12, no gain.", True),
        (answers(1, 5) + answers(2, 3), "Before: 5 of 12 right; guessing gives 3.0 on average. After: 3 of 12, 2 fewer.", True),
        (
            answers(1, 5) + answers(2, 9) + answers(3, 12),
            "Before: 5 of 12 right; guessing gives 3.0 on average. After: 12 of 12, a gain of 7.",
            True,
        ),
    ],
)
def test_the_score_before_and_the_latest_after_and_answers_from_the_second_time_on(
    made: list[LearnerPrediction], sentence: str, tells_answers: bool
) -> None:
    results = results_of(made, quiz())
    view = quiz_view(results, {lesson.number: lesson.title for lesson in lessons()})
    assert view.sentence == sentence
    told = " ".join(block.text for block in view.blocks if isinstance(block, Paragraph))
    assert all((each.why in told) == tells_answers for each in quiz())
    tables = [block for block in view.blocks if isinstance(block, Table)]
    if sentence:
        marks = ["".join(cell.text for cell in row[2:]) for row in tables[0].rows]
        assert sum(mark.startswith("✓") for mark in marks) == (5 if tells_answers else 0)
        assert tables[0].rows[0][1].text == "6. Attention"
    assert score_of(made).total == 0, "answers of the quiz are no predictions"


def test_a_round_that_was_left_goes_on_at_its_next_question() -> None:
    assert results_of([], quiz()).next_question() is None
    assert results_of(answers(1, 2, 5), quiz()).next_question() == (1, 5)
    assert results_of(answers(1, 2), quiz()).next_question() is None
    assert results_of(answers(1, 2) + answers(2, 1, 1), quiz()).next_question() == (2, 1)
