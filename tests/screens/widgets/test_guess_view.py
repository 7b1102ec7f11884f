"""Widgets: the lines of a guess."""

from dataclasses import replace

from lab.views.blocks import GuessChoice, GuessQuestion
from screens.widgets.guess_view import GuessState, guess_lines

LONG = "the small one saw more tokens in this time; with more time the large one may win"
QUESTION = GuessQuestion(
    "quiz", "Which conclusion is sound?", (GuessChoice("none"), GuessChoice(LONG), GuessChoice("both")), (1,)
)


def test_a_long_choice_is_broken_into_lines_of_its_own_before_the_answer_and_after_it() -> None:
    asked = GuessState(QUESTION, cursor=1)
    for state in (asked, replace(asked, chosen=1), replace(asked, chosen=0)):
        lines, choices = guess_lines(state, 40, 12)
        of_it = ["".join(text for text, _ in line) for line, at in zip(lines, choices, strict=True) if at == 1]
        assert len(of_it) > 1
        assert " ".join(each[2:].strip() for each in of_it).removesuffix(" (your guess)") == LONG
        assert [each[:2] for each in of_it[1:]] == ["  "] * (len(of_it) - 1)
        assert [at for at in choices if at >= 0] == sorted(at for at in choices if at >= 0)
