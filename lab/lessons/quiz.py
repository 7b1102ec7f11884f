"""The quiz, a question on each lesson, read from quiz.md, and its results: before the lessons, and after them.

A question is a heading, its choices, and the lesson that answers it with the reason:

    ## Which one?
    - [ ] this
    - [x] that

    Lesson next-token: Since it is so.

An answer is kept with the learner's predictions. The quiz can be taken again and again: each time is a round, from 1.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lab.core.errors import UserError
from lab.core.number_format import fixed
from lab.lessons.guess_score import QUIZ, LearnerPrediction
from lab.lessons.translation import OLDER, read_in_language, read_lesson_file
from lab.views.blocks import Block, Cell, Column, GuessChoice, GuessQuestion, Paragraph, Table, View

CHOICE = re.compile(r"(?m)^- \[([ x])\] (.+)$")
REASON = re.compile(r"(?m)^Lesson ([a-z-]+): (.+)$")
SOURCE = re.compile(rf"{QUIZ} (\d+)(?: of (\d+))?", re.ASCII)


DONT_KNOW = "I don't know"
"""The last choice of each question, never the right one."""


@dataclass(frozen=True)
class QuizQuestion:
    question: str
    choices: tuple[str, ...]
    right: int
    """Index of the right choice."""
    why: str
    lesson: str
    """Name of the lesson that answers it."""
    identity: str = ""
    """The question in English; "" for one that is English itself. An answer counts for it in every language."""

    def ask(self, at: int, of: int) -> GuessQuestion:
        """The question as a guess, the one `at`, from 1, of so many; the last choice is not to know. Its answer is not for the
        screen."""
        choices = tuple(GuessChoice(choice) for choice in (*self.choices, DONT_KNOW))
        return GuessQuestion(QUIZ, f"{at}/{of}. {self.question}", choices, (self.right,), identity=self.identity or self.question)


def parse_quiz(text: str) -> list[QuizQuestion]:
    """The questions in a text. Raises: UserError, naming the question that is not in the form above."""
    found = []
    for part in re.split(r"(?m)^## ", text)[1:]:
        question, choices, reason = part.partition("\n")[0].strip(), CHOICE.findall(part), REASON.search(part)
        right = [at for at, (mark, _) in enumerate(choices) if mark == "x"]
        if len(choices) < 2 or len(right) != 1 or reason is None:
            raise UserError(f"The question {question!r} of the quiz needs choices, one right, and its lesson with the reason.")
        question += f" {OLDER}" if OLDER in part else ""
        found.append(QuizQuestion(question, tuple(label for _, label in choices), right[0], reason[2], reason[1]))
    return found


FILE = Path(__file__).with_name("quiz.md")


def quiz() -> list[QuizQuestion]:
    """The questions in the language in use."""
    english, own = (parse_quiz(read(FILE)) for read in (read_lesson_file, read_in_language))
    return [replace(each, identity=same.question) for each, same in zip(own, english, strict=True)]


@dataclass(frozen=True)
class QuizResults:
    """The answers to the questions that the quiz has now: by round, which choice was made."""

    questions: tuple[QuizQuestion, ...]
    rounds: dict[int, dict[QuizQuestion, int]]
    """By number, from 1. The index after that of the last choice stands for `DONT_KNOW`."""
    begun: int
    """Number of the round that goes on; 0 for none. One of a quiz that had fewer questions is over."""

    @property
    def complete(self) -> list[dict[QuizQuestion, int]]:
        return [self.rounds[number] for number in sorted(self.rounds) if number != self.begun]

    def next_question(self) -> tuple[int, int] | None:
        """Round, from 1, and index of the question to ask next in the round that was begun; None where none was."""
        if not self.begun:
            return None
        return self.begun, next(at for at, each in enumerate(self.questions) if each not in self.rounds[self.begun])


def source_of(round_: int, questions: int) -> str:
    """The source of a prediction that is an answer of this round of so many questions; a quiz of 12 did not name their number."""
    return f"{QUIZ} {round_} of {questions}"


def results_of(predictions: Iterable[LearnerPrediction], questions: Iterable[QuizQuestion]) -> QuizResults:
    """The results among the predictions. An answer may be changed until its round is complete: no answer is told before."""
    by_text = {each.identity or each.question: each for each in questions}
    rounds: dict[int, dict[QuizQuestion, int]] = {}
    last, asked = 0, 0
    for made in predictions:
        source, question = SOURCE.fullmatch(made.source), by_text.get(made.identity)
        if made.kind == QUIZ and source is not None and question is not None and made.chosen <= len(question.choices):
            last, asked = max((last, asked), (int(source[1]), int(source[2] or 0)))
            answers = rounds.setdefault(int(source[1]), {})
            if len(answers) < (int(source[2] or 0) or len(by_text)):
                answers[question] = made.chosen
    is_open = asked == len(by_text) > len(rounds[last]) if rounds else False
    return QuizResults(tuple(by_text.values()), rounds, last if is_open else 0)


INTRODUCTION = (
    "{count} questions, one on each lesson. Answer them before the first lesson, and again after the last one: the difference "
    "is the gain. Where you would only guess, say that you don't know. You can go back to the question before, leave in between, "
    "and go on later. The answers are shown after the second time."
)


def mark(question: QuizQuestion, chosen: int) -> str:
    """The mark of an answer: right, wrong, or not known."""
    return "✓" if chosen == question.right else "?" if chosen == len(question.choices) else "✗"


def quiz_view(results: QuizResults, titles: Mapping[str, str]) -> View:
    """The scores before and after, of the questions that were asked both times, with the gain, and from the second time on the
    answers. `titles` are those of the lessons, by name."""
    if not (complete := results.complete):
        return View("quiz", "quiz", "", [Paragraph(INTRODUCTION.format(count=len(results.questions)))])
    first, last = complete[0], complete[-1]
    asked = [each for each in results.questions if each in first and each in last]
    total, scores = len(asked), [sum(each[question] == question.right for question in asked) for each in (first, last)]
    chance = fixed(sum(1 / len(question.choices) for question in asked), 1)
    words = f"Before: {scores[0]} of {total} right; guessing gives {chance} on average."
    shown = []
    if len(complete) > 1:
        gain = scores[1] - scores[0]
        change = f"a gain of {gain}" if gain > 0 else f"{-gain} fewer" if gain else "no gain"
        words += f" After: {scores[1]} of {total}, {change}."
        shown = [("before", first), ("after", last)]
    else:
        words += " After the last lesson, enter asks them again; the answers are shown then."
    rows = [
        [
            Cell(f"{at}"),
            Cell(titles.get(question.lesson, question.lesson)),
            *(Cell(mark(question, answers[question])) for _, answers in shown),
        ]
        for at, question in enumerate(asked, 1)
    ]
    columns = [Column("question"), Column("lesson that answers it", "left"), *(Column(name) for name, _ in shown)]
    blocks: list[Block] = [Table(columns, rows)]
    if len(complete) > 1:
        texts = (f"{each.question} → {each.choices[each.right]} {each.why}" for each in asked)
        blocks += [Paragraph(f"{at}. {text}") for at, text in enumerate(texts, 1)]
    return View("quiz", "quiz", words, blocks)
