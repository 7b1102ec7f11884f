"""A grammar of weighted choices: draw texts from it, and compute their exact entropy.

A grammar is a dictionary of tables, `story` being the first. A table maps each alternative to its weight, or maps the value
of a variable to such a table. An alternative is text with places in braces:

    {place}             an alternative of the table `place`
    {place:verb}        of the row of `place` for the value that the variable `verb` has
    {verb=verb:hero}    the same, and the variable `verb` takes the text that was chosen
    {$verb}             the value of the variable `verb` again

Tables may not refer to themselves. Only a table without rows, whose choice no variable takes, may have places in its
alternatives. If no text of one alternative begins with a text of another alternative in the same row, every text can be derived
in one way only; then the entropy of the choices is the entropy of the text.
"""

import math
import random
import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from lab.core.number_format import probability, significant

GrammarRow = Mapping[str, float]
Tables = Mapping[str, GrammarRow | Mapping[str, GrammarRow]]
Values = dict[str, str]
Joint = Mapping[tuple[tuple[str, str], ...], float]
"""Probabilities of the values that some variables have together, each as sorted pairs of name and value."""

START = "story"
_PLACE = re.compile(r"\{(?:\$(?P<copied>\w+)|(?:(?P<bound>\w+)=)?(?P<table>\w+)(?::(?P<given>\w+))?)\}")


@dataclass(frozen=True)
class GrammarPart:
    """One piece of an alternative: `text`, or the value of the variable `copied`, or a choice from `table`, of the row that the
    variable `given` names, kept in the variable `bound`."""

    text: str = ""
    copied: str = ""
    table: str = ""
    given: str = ""
    bound: str = ""


@dataclass(frozen=True)
class Choices:
    """One row of a table: alternatives, their probabilities, and the running sums of these."""

    alternatives: tuple[tuple[GrammarPart, ...], ...]
    probabilities: tuple[float, ...]
    upto: tuple[float, ...]
    texts: tuple[str, ...]
    """The alternatives as they are written in the tables."""

    @property
    def bits(self) -> float:
        """Shannon entropy of one choice."""
        return sum(-p * math.log2(p) for p in self.probabilities)


@dataclass
class ExpectedText:
    """Expectations of one text: the choices from each row, by table and given value; the bits of all choices; the bytes."""

    uses: dict[tuple[str, str], float]
    bits: float = 0.0
    bytes: float = 0.0


class Grammar:
    """A grammar that can be drawn from, and whose entropy is known.

    A place whose table, row or variable is not there is a KeyError when it is reached; `expected` reaches all that can be.
    """

    def __init__(self, tables: Tables) -> None:
        self.rows: dict[tuple[str, str], Choices] = {}
        """By table and given value, which is "" for a table without rows."""
        for name, table in tables.items():
            plain = {text: weight for text, weight in table.items() if not isinstance(weight, Mapping)}
            rows = {given: row for given, row in table.items() if isinstance(row, Mapping)}
            self.rows |= {(name, given): _choices(row) for given, row in (rows or {"": plain}).items()}
        every = [part for row in self.rows.values() for alternative in row.alternatives for part in alternative]
        bound = [part for part in every if part.bound]
        self._known_with: dict[str, set[str]] = {part.bound: {part.bound} for part in bound}
        """By variable, those that it depends on, itself included."""
        for variables in self._known_with.values():
            while more := {part.given for part in bound if part.bound in variables} - {""} - variables:
                variables |= more

    def draw(self, source: random.Random) -> str:
        """One text. Only `source.random()` is used, whose sequence Python keeps the same over its versions."""
        pieces: list[str] = []
        self._write((GrammarPart(table=START),), {}, source, pieces)
        return "".join(pieces)

    def _write(self, parts: tuple[GrammarPart, ...], values: Values, source: random.Random, pieces: list[str]) -> None:
        for part in parts:
            if part.text:
                pieces.append(part.text)
            elif part.copied:
                pieces.append(values[part.copied])
            else:
                row = self._row(part, values)
                start = len(pieces)
                self._write(row.alternatives[bisect(row.upto, source.random())], values, source, pieces)
                if part.bound:
                    values[part.bound] = "".join(pieces[start:])

    def _row(self, part: GrammarPart, values: Values) -> Choices:
        return self.rows[part.table, values[part.given] if part.given else ""]

    def expected(self) -> ExpectedText:
        """Expectations add up: each place counts by itself, with the probability of reaching it and, where it reads a variable,
        the probabilities of that variable's values there."""
        found = ExpectedText(dict.fromkeys(self.rows, 0.0))
        self._expect((GrammarPart(table=START),), 1.0, {variable: {(): 1.0} for variable in self._known_with}, found)
        return found

    def _expect(
        self, parts: tuple[GrammarPart, ...], reached: float, known: dict[str, Joint], found: ExpectedText
    ) -> dict[str, Joint]:
        """Add what is expected of these parts, which are reached with this probability. `known` has, for each variable, the
        probabilities of its values together with those it depends on; returned as it is after the parts."""
        for part in parts:
            if part.text:
                found.bytes += reached * len(part.text.encode())
                continue
            reads = part.copied or part.given
            shares = _marginal(known[reads], reads) if reads else {"": 1.0}
            if part.copied:
                found.bytes += reached * sum(share * len(value.encode()) for value, share in shares.items())
                continue
            ends: list[tuple[float, dict[str, Joint]]] = []
            for value, share in shares.items():
                row = self.rows[part.table, value]
                found.uses[part.table, value] += reached * share
                found.bits += reached * share * row.bits
                for alternative, chosen in zip(row.alternatives, row.probabilities, strict=True):
                    ends.append((share * chosen, self._expect(alternative, reached * share * chosen, known, found)))
            if part.bound:
                is_changed = {variable: part.bound in others for variable, others in self._known_with.items()}
                known = {each: self._bound(joint, part) if is_changed[each] else joint for each, joint in known.items()}
            elif any(end is not known for _, end in ends):
                known = {variable: _mixed([(weight, end[variable]) for weight, end in ends]) for variable in known}
        return known

    def _bound(self, joint: Joint, part: GrammarPart) -> Joint:
        """The probabilities after the part's variable took its text."""
        after: dict[tuple[tuple[str, str], ...], float] = defaultdict(float)
        for state, weight in joint.items():
            row = self._row(part, dict(state))
            for text, chosen in zip(row.texts, row.probabilities, strict=True):
                after[tuple(sorted({**dict(state), part.bound: text}.items()))] += weight * chosen
        return after


def _mixed(ends: Sequence[tuple[float, Joint]]) -> Joint:
    after: dict[tuple[tuple[str, str], ...], float] = defaultdict(float)
    for weight, joint in ends:
        for state, within in joint.items():
            after[state] += weight * within
    return after


def _marginal(joint: Joint, variable: str) -> dict[str, float]:
    """Probability of each value of the variable."""
    sums: dict[str, float] = defaultdict(float)
    for state, weight in joint.items():
        sums[dict(state)[variable]] += weight
    return sums


def _choices(row: GrammarRow) -> Choices:
    total = sum(row.values())
    probabilities = tuple(weight / total for weight in row.values())
    upto = [*accumulate(probabilities)]
    return Choices(tuple(_parts(text) for text in row), probabilities, (*upto[:-1], 1.0), tuple(row))


def _parts(alternative: str) -> tuple[GrammarPart, ...]:
    parts: list[GrammarPart] = []
    at = 0
    for place in _PLACE.finditer(alternative):
        if at < place.start():
            parts.append(GrammarPart(text=alternative[at : place.start()]))
        parts.append(GrammarPart(**{name: value for name, value in place.groupdict().items() if value}))
        at = place.end()
    if at < len(alternative):
        parts.append(GrammarPart(text=alternative[at:]))
    return tuple(parts)


def grammar_lines(grammar: Grammar) -> list[str]:
    """The grammar for people: each row with its alternatives and their probabilities, and the bits that it adds to a text."""
    found = grammar.expected()
    lines = [f"A story has {significant(found.bits)} bits on average, the sum of those of its choices.", ""]
    for (table, given), row in grammar.rows.items():
        uses = found.uses[table, given]
        name = f"{table} of {given}" if given else table
        lines.append(f"{name}: {significant(uses)} choices a story, {significant(uses * row.bits)} bits")
        shown = zip(row.probabilities, row.texts, strict=True)
        lines += [f"  {probability(p):>6}  {text}".rstrip().replace("\n", "␊") for p, text in shown]
        lines.append("")
    return lines
