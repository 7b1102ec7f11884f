"""Conditions over the measures of an experiment: comparisons joined by `and`, read by a grammar of their own.

    vocabulary == 50257
    ratio >= 1.45 and ratio < 1.55 and same == true

Each side of a comparison is the name of a measure, a number, "a text", true or false. Nothing is evaluated as Python.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.experiments.experiment_result import Measure

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
    """A measure that the experiment did not give."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class Name:
    """The name of a measure, as an operand."""

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
        """Names of the measures that it needs."""
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
