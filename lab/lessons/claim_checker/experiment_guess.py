"""A guess in a lesson whose answer is measured: choices with conditions over the measures of an experiment.

    experiment: gradient_descent
    question: One step of gradient descent: does the loss on these tokens rise or fall?
    choice-a: it falls
    right-a: loss_after < loss_before
    choice-b: it rises
    right-b: loss_after > loss_before
    choice-c: it stays the same
    answer: The loss went from {loss_before:.4f} to {loss_after:.4f}.
    why: The gradient says how the loss changes with each weight.

A choice without a condition is right where no other is; there is one at most. `answer` and `why` may hold figures, as claims do.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from lab.core.errors import UserError
from lab.experiments.experiment_result import ExperimentResult
from lab.lessons.claim_checker.conditions import Condition, MissingMeasureError, parse_condition
from lab.lessons.claim_checker.figures import fill, names_in
from lab.views.blocks import ModelFacts
from lab.views.guess_question import GuessChoice, GuessQuestion

LETTERS = "abcdef"
CHOICE, RIGHT = "choice-", "right-"
NAMES = (
    "experiment",
    "question",
    "answer",
    "why",
    *(part + letter for part in (CHOICE, RIGHT) for letter in LETTERS),
)
"""Options of such a guess."""


@dataclass(frozen=True)
class ExperimentGuess:
    experiment: str
    question: str
    choices: tuple[str, ...]
    conditions: tuple[Condition | None, ...]
    """Of each choice; None for the one that is right where no other is."""
    answer: str
    why: str

    @property
    def names(self) -> set[str]:
        """Names of the measures that the conditions and the texts need."""
        needed = set[str]().union(*(each.names for each in self.conditions if each is not None))
        return needed | names_in(self.answer) | names_in(self.why)

    def right(self, result: ExperimentResult) -> tuple[int, ...]:
        """Indices of the right choices. Raises: UserError: if a measure is missing, or compared with one of another kind."""
        try:
            held = [each.holds(result.measures) if each is not None else None for each in self.conditions]
        except MissingMeasureError as missing:
            why = result.missing or f"the experiment {self.experiment} measured no {missing.name} on this run."
            raise UserError(f"This cannot be guessed here: {why}") from missing
        except ValueError as error:
            raise UserError(f"The guess on {self.experiment} has a condition that cannot be used: {error}.") from error
        return tuple(at for at, holds in enumerate(held) if holds or (holds is None and not any(held)))

    def ask(self, result: ExperimentResult, facts: ModelFacts, *asked: object) -> GuessQuestion:
        """The question with the answer that was measured on this model; `asked` is all else that it depends on.

        Raises: UserError: if it cannot be decided by these measures.
        """
        right = self.right(result)
        answer, why = fill(self.answer, result.measures), fill(self.why, result.measures)
        if not 0 < len(right) < len(self.choices):
            which = "Each" if right else "None"
            return GuessQuestion(
                "experiment", f"{self.question} {which} of the choices holds on this model: {answer}", run=facts.run
            )
        identity = repr((facts.run, facts.step, self, asked)).encode("utf-8", "surrogateescape")
        return GuessQuestion(
            "experiment",
            self.question,
            choices=tuple(GuessChoice(choice) for choice in self.choices),
            right=right,
            answer=answer,
            why=why,
            run=facts.run,
            identity=hashlib.blake2b(identity, digest_size=12).hexdigest(),
        )


def parse_experiment_guess(options: Mapping[str, str], experiments: Collection[str]) -> ExperimentGuess:
    """The guess that the options of a live block describe. Raises: UserError, naming the option and what is wrong with it."""
    for name in ("experiment", "question", "answer"):
        if not options.get(name):
            raise UserError(f"A guess on an experiment needs the option {name}.")
    if options["experiment"] not in experiments:
        raise UserError(f"There is no experiment called {options['experiment']}; the experiments are {', '.join(experiments)}.")
    letters = [letter for letter in LETTERS if options.get(CHOICE + letter)]
    if len(letters) < 2 or letters != list(LETTERS[: len(letters)]):
        raise UserError(f"A guess on an experiment needs the choices choice-a, choice-b and so on, at most {len(LETTERS)}.")
    stray = [letter for letter in LETTERS if RIGHT + letter in options and letter not in letters]
    if stray:
        raise UserError(f"The option {RIGHT}{stray[0]} belongs to no choice.")
    conditions: list[Condition | None] = []
    try:
        for letter in letters:
            text = options.get(RIGHT + letter)
            conditions.append(parse_condition(text) if text is not None else None)
        names_in(options["answer"])
        names_in(options.get("why", ""))
    except ValueError as error:
        raise UserError(f"A guess on {options['experiment']} cannot be read: {error}.") from error
    if conditions.count(None) > 1:
        raise UserError(f"A guess on {options['experiment']} has more than one choice without a condition such as {RIGHT}a.")
    return ExperimentGuess(
        options["experiment"],
        options["question"],
        tuple(options[CHOICE + letter] for letter in letters),
        tuple(conditions),
        options["answer"],
        options.get("why", ""),
    )
