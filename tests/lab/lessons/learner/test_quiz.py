"""The quiz: its file, and the scores of its rounds."""

import pytest

from lab.core.errors import UserError
from lab.lessons.guess_score import QUIZ, LearnerPrediction, score_of
from lab.lessons.lesson import lessons
from lab.lessons.quiz import QuizQuestion, parse_quiz, quiz, quiz_view, results_of, source_of
from lab.views.blocks import Paragraph, Table

GOOD = "# Quiz\n\n## One?\n- [ ] no\n- [x] yes\n\nLesson a-name: Since.\n"


def test_a_question_on_each_lesson_in_their_order_whose_right_choice_is_told_by_neither_its_place_nor_its_length() -> None:
    questions = quiz()
    assert [each.lesson for each in questions] == [lesson.name for lesson in lessons()]
    assert len({each.question for each in questions}) == len(questions)
    assert all(len(each.choices) == 4 and max(map(len, (each.question, *each.choices))) < 150 for each in questions)
    places = [each.right for each in questions]
    assert all(len(questions) // 5 <= places.count(at) <= len(questions) // 3 for at in range(4))
    longest = [max(range(4), key=lambda at, each=each: len(each.choices[at])) == each.right for each in questions]
    assert sum(longest) <= len(questions) // 3


COUNT = len(quiz())
BEFORE = f"Before: 5 of {COUNT} right; guessing gives {COUNT / 4:.1f} on average."
AGAIN = "After the last lesson, enter asks them again; the answers are shown then."


@pytest.mark.parametrize(
    ("before", "after"),
    [("- [x] yes", "- [ ] yes"), ("- [ ] no", "- [x] no"), ("- [ ] no\n", ""), ("Since.", ""), ("Lesson a-name", "Lesson 3")],
)
def test_a_question_in_another_form_is_refused_by_name(before: str, after: str) -> None:
    assert parse_quiz(GOOD) == [QuizQuestion("One?", ("no", "yes"), 1, "Since.", "a-name")]
    with pytest.raises(UserError, match=r"'One\?' of the quiz"):
        parse_quiz(GOOD.replace(before, after))


def answers(round_: int, right: int, count: int = COUNT) -> list[LearnerPrediction]:
    """The answers of a round: so many right ones first."""
    return [
        LearnerPrediction(
            time=1.0,
            kind=QUIZ,
            question=f"{at + 1}/{COUNT}. {each.question}",
            choices=each.choices,
            chosen=each.right if at < right else (each.right + 1) % 4,
            right=(each.right,),
            source=source_of(round_, COUNT),
            identity=each.question,
        )
        for at, each in enumerate(quiz()[:count])
    ]


@pytest.mark.parametrize(
    ("made", "sentence", "tells_answers"),
    [
        ([], "", False),
        (answers(1, 5, 7), "", False),
        (answers(1, 5), f"{BEFORE} {AGAIN}", False),
        (answers(1, 5) + answers(1, COUNT), f"{BEFORE} {AGAIN}", False),
        (answers(1, 5) + answers(2, 3, 4), f"{BEFORE} {AGAIN}", False),
        (
            answers(1, 5) + answers(2, 10),
            f"{BEFORE} After: 10 of {COUNT}, a gain of 5.",
            True,
        ),
        (answers(1, 5) + answers(2, 5), f"{BEFORE} After: 5 of {COUNT}, no gain.", True),
        (answers(1, 5) + answers(2, 3), f"{BEFORE} After: 3 of {COUNT}, 2 fewer.", True),
        (
            answers(1, 5) + answers(2, 9) + answers(3, 12),
            f"{BEFORE} After: 12 of {COUNT}, a gain of 7.",
            True,
        ),
    ],
)
def test_the_score_before_and_the_latest_after_and_answers_from_the_second_time_on(
    made: list[LearnerPrediction], sentence: str, tells_answers: bool
) -> None:
    results = results_of(made, quiz())
    view = quiz_view(results, {lesson.name: f"{lesson.number}. {lesson.title}" for lesson in lessons()})
    assert view.sentence == sentence
    told = " ".join(block.text for block in view.blocks if isinstance(block, Paragraph))
    assert all((each.why in told) == tells_answers for each in quiz())
    tables = [block for block in view.blocks if isinstance(block, Table)]
    if sentence:
        marks = ["".join(cell.text for cell in row[2:]) for row in tables[0].rows]
        assert sum(mark.startswith("✓") for mark in marks) == (5 if tells_answers else 0)
        assert tables[0].rows[5][1].text == "6. Attention"
    assert score_of(made).total == 0, "answers of the quiz are no predictions"


def test_a_round_that_was_left_goes_on_at_its_next_question() -> None:
    assert results_of([], quiz()).next_question() is None
    assert results_of(answers(1, 2, 5), quiz()).next_question() == (1, 5)
    assert results_of(answers(1, 2), quiz()).next_question() is None
    assert results_of(answers(1, 2) + answers(2, 1, 1), quiz()).next_question() == (2, 1)


def test_the_rounds_of_the_quiz_that_had_twelve_questions_keep_their_scores() -> None:
    asked = [each for each in quiz() if (each.identity or each.question) in TWELVE]
    assert len(asked) == 12

    def older(round_: int, right: int, count: int = 12) -> list[LearnerPrediction]:
        given = [(each, each.right if at < right else (each.right + 1) % 4) for at, each in enumerate(asked[:count])]
        return [
            LearnerPrediction(1.0, QUIZ, each.question, each.choices, chosen, (each.right,), f"quiz {round_}", "", each.question)
            for each, chosen in given
        ]

    for made, words in (
        (older(1, 5), f"Before: 5 of 12 right; guessing gives 3.0 on average. {AGAIN}"),
        (older(1, 5) + older(2, 9), "Before: 5 of 12 right; guessing gives 3.0 on average. After: 9 of 12, a gain of 4."),
        (older(1, 5) + answers(2, COUNT), "Before: 5 of 12 right; guessing gives 3.0 on average. After: 12 of 12, a gain of 7."),
        (older(1, 2, 7), f"Before: 2 of 7 right; guessing gives 1.8 on average. {AGAIN}"),
    ):
        results = results_of(made, quiz())
        assert quiz_view(results, {}).sentence == words
        assert results.next_question() is None, "thirteen more questions do not belong to what was answered before the lessons"
    assert results_of(older(1, 5) + answers(2, 1, 3), quiz()).next_question() == (2, 3)


TWELVE = """A head computes how much a position attends to the others. Why are the later positions masked?
The temperature is lowered from 1 to 0.5. What happens to the probabilities of the next token?
The gradient is known exactly. Why may a step of gradient descent still raise the loss?
A model writes with a cache of keys and values. Why is the text the same as without it?
A small and a large model are trained for the same few minutes, and the small one has the lower loss. Which conclusion is sound?
A model that is only pretrained is asked: “Which animal is the fastest?” It answers with three more questions. Why?
A passage of random tokens stands twice in a prompt. Some models predict it far better the second time. How?
A model is asked about a name that stands nowhere in its training text, and answers fluently and wrongly. Why?
Why is it hard for a model with a usual vocabulary to tell the third letter of a word?
A model adds a long sum better when it writes out the steps before the result. Why?
A model is trained to please a reward model, and its reward rises and rises. People like its answers less and less. What happened?
A small draft model proposes tokens, and a large one checks them all in one pass. Why can this be faster, with the same text?
""".splitlines()
"""The questions of the older quiz, by which its answers are known."""
