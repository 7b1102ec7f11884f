"""Conditions on the measures of an experiment, which decide claims and guesses, and figures of measures in a text.

A condition is comparisons joined by `and`, read by a grammar of their own:

    vocabulary == 50257
    ratio >= 1.45 and ratio < 1.55 and same == true

Each side of a comparison is the name of a measure, a number, "a text", true or false. Nothing is evaluated as Python.

In a text `{vocabulary}` stands for a measure and `{loss:.2f}` for a measure in a format: `.3f` has three decimals, `.3g` three
significant figures, `.1%` is a percentage, `count` is short (10.2B), `bytes` a size. Without a format, a whole number is written
in full and any other to three significant figures. Where there are several seeds, the lowest and the highest of them follow, and
`{in loss < 2}` becomes the number of seeds in which the condition holds.

A guess in a lesson, whose answer is measured, has choices with conditions:

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
Where the reason differs, `why-a` stands in place of `why` when the first choice is right, and so on.
"""

import hashlib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from lab.core.errors import UserError
from lab.core.number_format import bytes_, count, fixed, probability, significant, whole
from lab.core.visible_text import visible
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import GuessChoice, GuessQuestion

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
NAME = re.compile(r"[a-z][a-z0-9_]*")
_OPERAND = r'"[^"]*"|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d{1,3})?|[a-z][a-z0-9_]*'
_COMPARISON = re.compile(rf"({_OPERAND})\s*({'|'.join(map(re.escape, OPERATORS))})\s*({_OPERAND})")
LITERALS = {"true": True, "false": False}


class MissingMeasureError(Exception):
    """Its message is the name of a measure that the experiment did not give."""


@dataclass(frozen=True)
class Name:
    name: str


Operand = Name | Measure


@dataclass(frozen=True)
class Comparison:
    left: Operand
    operator: str
    right: Operand

    def holds(self, measures: Mapping[str, Measure]) -> bool:
        """Raises: MissingMeasureError; ValueError: if one side is a number and the other is none."""
        left, right = _value(self.left, measures), _value(self.right, measures)
        if _kind(left) != _kind(right):
            raise ValueError(f"{left!r} {self.operator} {right!r} compares a {_kind(left)} with a {_kind(right)}")
        return OPERATORS[self.operator](left, right)


@dataclass(frozen=True)
class Condition:
    """Comparisons that must all hold."""

    comparisons: tuple[Comparison, ...]

    def holds(self, measures: Mapping[str, Measure]) -> bool:
        """All comparisons are made, so that a missing measure is never overlooked. Raises as `Comparison.holds` does."""
        held = [each.holds(measures) for each in self.comparisons]
        return all(held)

    @property
    def names(self) -> set[str]:
        return {side.name for each in self.comparisons for side in (each.left, each.right) if isinstance(side, Name)}


def parse_condition(text: str) -> Condition:
    """The condition in a line of text. Raises: ValueError, naming the part that is no comparison."""
    found = []
    for part in re.split(r"\s+and\s+", text.strip()):
        match = _COMPARISON.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{part.strip()!r} is no comparison such as vocabulary == 50257")
        found.append(Comparison(_operand(match[1]), match[2], _operand(match[3])))
    return Condition(tuple(found))


def _operand(text: str) -> Operand:
    if text.startswith('"'):
        return text[1:-1]
    if text in LITERALS:
        return LITERALS[text]
    if NAME.fullmatch(text):
        return Name(text)
    return float(text)


def _value(operand: Operand, measures: Mapping[str, Measure]) -> Measure:
    if not isinstance(operand, Name):
        return operand
    if operand.name not in measures:
        raise MissingMeasureError(operand.name)
    return measures[operand.name]


def _kind(value: Measure) -> str:
    return "text" if isinstance(value, str) else "truth value" if isinstance(value, bool) else "number"


_FIGURE = re.compile(r"\{([^{}]*)\}")
_PLACEHOLDER = re.compile(r"([a-z][a-z0-9_]*)(?::(count|bytes|\.\d[fg%]))?")
_IN = "in "


def fill(
    text: str,
    measures: Mapping[str, Measure],
    escape: Callable[[str], str] = str,
    seeds: Sequence[Mapping[str, Measure]] = (),
    *,
    is_median: bool = True,
) -> str:
    """The text with its figures; a paragraph one of whose measures is missing is left out.

    `escape` is applied to measures that are texts, such as labels of tokens or names of rules. `seeds` are the measures of
    recorded seeds, whose median `measures` are; unless `is_median`, `measures` are of one more seed.
    """

    def figure(found: re.Match[str]) -> str:
        if found[1].startswith(_IN):
            return _held(parse_condition(found[1].removeprefix(_IN)), measures, seeds, is_median)
        name, _, form = found[1].partition(":")
        own = _figure(measures[name], form, escape)
        values = [each[name] for each in seeds if name in each]
        if not values or any(isinstance(value, bool | str) for value in values):
            return own
        low, high = (_figure(end, form, escape) for end in (min(values), max(values)))
        if is_median and low == high:
            return own
        return f"{own} ({'' if is_median else 'recorded '}{low}{f' to {high}' if low != high else ''})"

    kept = [paragraph for paragraph in re.split(r"\n{2,}", text) if names_in(paragraph) <= measures.keys()]
    return "\n\n".join(_FIGURE.sub(figure, paragraph) for paragraph in kept)


def _held(condition: Condition, measures: Mapping[str, Measure], seeds: Sequence[Mapping[str, Measure]], is_median: bool) -> str:
    """In how many seeds a condition holds."""
    own = "in this run" if condition.holds(measures) else "not in this run"
    known = [condition.holds(each) for each in seeds if condition.names <= each.keys()]
    if not known or (is_median and len(known) == 1):
        return own
    held, count = sum(known), len(known)
    words = f"in {'all' if held == count else f'{held} of' if held else 'none of'} {count} seeds"
    return words if is_median else f"{own} ({words} recorded)"


def names_in(text: str) -> set[str]:
    """Names of the measures that the figures of a text need. Raises: ValueError, naming a figure that is in no known form."""
    found = set[str]()
    for placeholder in _FIGURE.findall(text):
        if placeholder.startswith(_IN):
            found |= parse_condition(placeholder.removeprefix(_IN)).names
            continue
        match = _PLACEHOLDER.fullmatch(placeholder)
        if match is None:
            raise ValueError(f"{{{placeholder}}} is no figure such as {{vocabulary}} or {{loss:.2f}}")
        found.add(match[1])
    return found


def _figure(value: Measure, form: str, escape: Callable[[str], str]) -> str:
    if isinstance(value, str):
        return escape(visible(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if form == "count":
        return count(value)
    if form == "bytes":
        return bytes_(value)
    if form:
        digits = int(form[1])
        if form[2] == "%":
            return probability(value, digits)
        return fixed(value, digits) if form[2] == "f" else significant(value, digits)
    return whole(value) if isinstance(value, int) else significant(value)


LETTERS = "abcdef"
CHOICE, RIGHT, WHY = "choice-", "right-", "why-"
GUESS_OPTIONS = (
    "experiment",
    "question",
    "answer",
    "why",
    *(part + letter for part in (CHOICE, RIGHT, WHY) for letter in LETTERS),
)
"""Options of a guess on an experiment."""


@dataclass(frozen=True)
class ExperimentGuess:
    experiment: str
    question: str
    choices: tuple[str, ...]
    conditions: tuple[Condition | None, ...]
    """Of each choice; None for the one that is right where no other is."""
    answer: str
    whys: tuple[str, ...]
    """The reason for each choice, where it is the right one."""

    def right(self, result: ExperimentResult) -> tuple[int, ...]:
        """Indices of the right choices. Raises: UserError: if a measure is missing, or compared with one of another kind."""
        try:
            held = [each.holds(result.measures) if each is not None else None for each in self.conditions]
        except MissingMeasureError as missing:
            why = result.missing or f"the experiment {self.experiment} measured no {missing} on this run."
            raise UserError(f"This cannot be guessed here: {why}") from missing
        except ValueError as error:
            raise UserError(f"The guess on {self.experiment} has a condition that cannot be used: {error}.") from error
        return tuple(at for at, holds in enumerate(held) if holds or (holds is None and not any(held)))

    def ask(self, result: ExperimentResult, run: str, *asked: object) -> GuessQuestion:
        """The question with the answer that was measured on this model; `asked` is all else that it depends on.

        `run` is "" for a study, which trains models of its own.

        Raises: UserError: if it cannot be decided by these measures.
        """
        right = self.right(result)
        answer = fill(self.answer, result.measures, seeds=result.seeds)
        if not 0 < len(right) < len(self.choices):
            which = "Each" if right else "None"
            return GuessQuestion("experiment", f"{self.question} {which} of the choices holds on this model: {answer}", run=run)
        identity = repr((run, result.view.step, self, asked)).encode("utf-8", "surrogateescape")
        return GuessQuestion(
            "experiment",
            self.question,
            choices=tuple(GuessChoice(choice) for choice in self.choices),
            right=right,
            answer=answer,
            why=fill(self.whys[right[0]], result.measures, seeds=result.seeds),
            run=run,
            identity=hashlib.blake2b(identity, digest_size=12).hexdigest(),
        )


def parse_experiment_guess(options: Mapping[str, str]) -> ExperimentGuess:
    """The guess that the options of a live block describe. Raises: UserError, naming the option and what is wrong with it."""
    for name in ("experiment", "question", "answer"):
        if not options.get(name):
            raise UserError(f"A guess on an experiment needs the option {name}.")
    letters = [letter for letter in LETTERS if options.get(CHOICE + letter)]
    if len(letters) < 2 or letters != list(LETTERS[: len(letters)]):
        raise UserError(f"A guess on an experiment needs the choices choice-a, choice-b and so on, at most {len(LETTERS)}.")
    stray = [part + letter for part in (RIGHT, WHY) for letter in LETTERS if part + letter in options and letter not in letters]
    if stray:
        raise UserError(f"The option {stray[0]} belongs to no choice.")
    whys = tuple(options.get(WHY + letter, options.get("why", "")) for letter in letters)
    try:
        rights = (options.get(RIGHT + letter) for letter in letters)
        conditions = tuple(None if text is None else parse_condition(text) for text in rights)
        for text in (options["answer"], *whys):
            names_in(text)
    except ValueError as error:
        raise UserError(f"A guess on {options['experiment']} cannot be read: {error}.") from error
    if conditions.count(None) > 1:
        raise UserError(f"A guess on {options['experiment']} has more than one choice without a condition such as {RIGHT}a.")
    return ExperimentGuess(
        options["experiment"],
        options["question"],
        tuple(options[CHOICE + letter] for letter in letters),
        conditions,
        options["answer"],
        whys,
    )


def ask_in_words(options: Mapping[str, str], words: Mapping[str, str], result: ExperimentResult, *asked: Any) -> GuessQuestion:
    """The question in the words of the language in use. Its identity is that of the English one: it counts once in all."""
    english, own = (parse_experiment_guess({**options, **said}) for said in ({}, words))
    return replace(own.ask(result, *asked), identity=english.ask(result, *asked).identity)
