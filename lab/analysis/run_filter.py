"""Filter of runs by what is typed: words and conditions such as `shakespeare loss<2.5`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from lab.core.errors import UserError
from lab.core.visible_text import quoted

if TYPE_CHECKING:
    from lab.runs.run_summary import RunSummary

    Test = Callable[[RunSummary], bool]

FIELDS = {"loss": "val_loss", "bits": "bits_per_byte", "steps": "step", "parameters": "parameters"}
"""What a condition can be about, as fields of a summary. Beginnings will do, such as `param`."""

OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq}
UNITS = {"": 1, "k": 1_000, "m": 1_000_000}
NUMBER = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([km]?)")
EXAMPLES = "loss<2.5, bits<1, steps>1k, parameters<1M"


def run_filter(query: str) -> Test:
    """A test for runs that have every word in their name, text, tokenizer or state, and meet every condition. Raises: UserError
    for something with `<`, `>` or `=` that is no condition."""
    terms = re.sub(r"\s*([<>=]+)\s*", r"\1", query.casefold()).split()
    tests = [_condition(term) if set(term) & set("<>=") else _word(term) for term in terms]
    return lambda run: all(test(run) for test in tests)


def _word(word: str) -> Test:
    return lambda run: any(word in part.casefold() for part in (run.name, run.text, run.tokenizer, run.state))


def _condition(term: str) -> Test:
    start, sign, number = re.split("([<>=]+)", term, maxsplit=1)
    field = next((field for name, field in FIELDS.items() if start and name.startswith(start)), None)
    compare, found = OPERATORS.get(sign), NUMBER.fullmatch(number)
    if field is None or compare is None or found is None:
        raise UserError(f"{quoted(term)} is no condition, such as {EXAMPLES}.")
    limit = float(found[1]) * UNITS[found[2]]
    return lambda run: not run.problem and (value := getattr(run, field)) is not None and compare(value, limit)
