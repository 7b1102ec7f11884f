"""A grammar of weighted choices: draw texts from it, and compute their exact entropy.

A grammar is a dictionary of tables, `story` being the first. A table maps each alternative to its weight, or maps the value
of a variable to such a table. An alternative is text with places in braces:

    {place}             an alternative of the table `place`
    {place:verb}        of the row of `place` for the value that the variable `verb` has
    {verb=verb:hero}    the same, and the variable `verb` takes the text that was chosen
    {$verb}             the value of the variable `verb` again

Tables may not refer to themselves. If no text of one alternative begins with a text of another alternative in the same row,
every text can be derived in one way only; then the entropy of the choices is the entropy of the text.
"""

import math
import random
import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate

from lab.core import number_format

GrammarRow = Mapping[str, float]
Tables = Mapping[str, GrammarRow | Mapping[str, GrammarRow]]
Values = dict[str, str]

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

    @property
    def reads(self) -> str:
        """The one variable that decides the part itself, if there is one."""
        return self.copied or self.given

    @property
    def is_condition(self) -> bool:
        """Not a piece of text, but the condition that the variable `given` has the value `text`; see `Grammar.expected`."""
        return bool(self.given and not self.table)


@dataclass(frozen=True)
class Choices:
    """One row of a table: alternatives, their probabilities, and the running sums of these."""

    alternatives: tuple[tuple[GrammarPart, ...], ...]
    probabilities: tuple[float, ...]
    upto: tuple[float, ...]
    texts: tuple[str, ...] = ()
    """The alternatives as they are written in the tables."""


@dataclass(frozen=True)
class GrammarRule:
    """One row of a table as numbers: how often a text chooses from it, and the bits of entropy that these choices add to it."""

    table: str
    given: str
    """Value of the variable that the row is for; "" in a table without rows."""
    alternatives: tuple[tuple[str, float], ...]
    """Each as it is written in the table, with its probability."""
    uses: float
    """Expected choices from this row in one text."""
    bits: float
    """Their expected bits, which of all rules add up to the entropy of a text."""


@dataclass(frozen=True)
class ExpectedCost:
    """Expected bits of the choices made, and expected bytes of the text written."""

    bits: float
    bytes: float

    def __add__(self, other: "ExpectedCost") -> "ExpectedCost":
        return ExpectedCost(self.bits + other.bits, self.bytes + other.bytes)


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
        self._binds = cache(self._find_binds)
        self._reads = cache(self._find_reads)
        self._needs = cache(self._find_needs)
        self._marginal = cache(self._find_marginal)

    def draw(self, source: random.Random) -> str:
        """One text. Only `source.random()` is used, whose sequence Python keeps the same over its versions."""
        pieces: list[str] = []
        self._write((GrammarPart(table=START),), {}, source, pieces)
        return "".join(pieces)

    def expected(self) -> ExpectedCost:
        """Entropy of one text in bits, and its expected bytes: sums over all choices, each weighted by the probability of
        reaching it, which is that of the condition that its row sets."""
        return self._cost((), (GrammarPart(table=START),), 1.0, {})

    def rules(self) -> list[GrammarRule]:
        """Every row, in the order of the tables."""
        uses: dict[tuple[str, str], float] = {}
        self._cost((), (GrammarPart(table=START),), 1.0, uses)
        return [
            GrammarRule(
                table, given, tuple(zip(row.texts, row.probabilities, strict=True)), uses.get((table, given), 0.0),
                uses.get((table, given), 0.0) * entropy_bits(row.probabilities),
            )
            for (table, given), row in self.rows.items()
        ]  # fmt: skip

    def _row(self, part: GrammarPart, values: Values) -> Choices:
        return self.rows[part.table, values[part.given] if part.given else ""]

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

    def _cost(
        self,
        before: tuple[GrammarPart, ...],
        parts: tuple[GrammarPart, ...],
        reached: float,
        uses: dict[tuple[str, str], float],
    ) -> ExpectedCost:
        """Expected bits and bytes of `parts` after `before`, times the probability `reached`. Expectations add up: each part is
        taken by itself, with the distribution of the one variable that it reads. The expected choices from each row are added to
        `uses`."""
        total = ExpectedCost(0.0, 0.0)
        for index, part in enumerate(parts):
            if part.text:
                total += ExpectedCost(0.0, reached * len(part.text.encode()))
                continue
            earlier = before + parts[:index]
            values = self._marginal(self._relevant(earlier, part.reads), part.reads) if part.reads else {"": 1.0}
            for value, share in values.items():
                if part.copied:
                    total += ExpectedCost(0.0, reached * share * len(value.encode()))
                    continue
                row = self.rows[part.table, value]
                uses[part.table, value] = uses.get((part.table, value), 0.0) + reached * share
                total += ExpectedCost(reached * share * entropy_bits(row.probabilities), 0.0)
                within = (*earlier, GrammarPart(given=part.given, text=value)) if part.given else earlier
                for alternative, probability in zip(row.alternatives, row.probabilities, strict=True):
                    total += self._cost(within, alternative, reached * share * probability, uses)
        return total

    def _find_marginal(self, parts: tuple[GrammarPart, ...], variable: str) -> dict[str, float]:
        """Probability of each value of `variable` after `parts`, given that the conditions among them hold."""
        states: dict[tuple[tuple[str, str], ...], float] = {(): 1.0}
        for index, part in enumerate(parts):
            needed = self._needed({variable}, parts[index + 1 :])
            reached: dict[tuple[tuple[str, str], ...], float] = defaultdict(float)
            for state, weight in states.items():
                for probability, values in self._bindings((part,), dict(state), needed):
                    kept = tuple(sorted((name, value) for name, value in values.items() if name in needed))
                    reached[kept] += weight * probability
            states = reached
        sums: dict[str, float] = defaultdict(float)
        for state, weight in states.items():
            sums[dict(state)[variable]] += weight
        total = sum(sums.values())
        return {value: weight / total for value, weight in sums.items()}

    def _relevant(self, parts: tuple[GrammarPart, ...], variable: str) -> tuple[GrammarPart, ...]:
        """The parts that the value of `variable` depends on, and all conditions."""
        needed = {variable}
        kept: list[GrammarPart] = []
        for part in reversed(parts):
            if part.is_condition or self._binds(part) & needed:
                kept.insert(0, part)
                needed |= self._needs(part)
        return tuple(kept)

    def _needed(self, variables: AbstractSet[str], parts: tuple[GrammarPart, ...]) -> AbstractSet[str]:
        """The variables to be known before `parts` so that `variables` are known after."""
        return frozenset(variables).union(*(self._needs(part) for part in parts))

    def _bindings(
        self, parts: tuple[GrammarPart, ...], values: Values, needed: AbstractSet[str]
    ) -> Iterator[tuple[float, Values]]:
        """The variables after `parts`, with probabilities; choices that set none of those needed are passed over."""
        if not parts:
            yield 1.0, values
            return
        part, rest = parts[0], parts[1:]
        if part.is_condition:
            if values[part.given] == part.text:
                yield from self._bindings(rest, values, needed)
        elif not self._binds(part) & self._needed(needed, rest):
            yield from self._bindings(rest, values, needed)
        elif part.bound:
            for probability, text, after in self._all((replace(part, bound=""),), values):
                for more, last in self._bindings(rest, after | {part.bound: text}, needed):
                    yield probability * more, last
        else:
            row = self._row(part, values)
            for alternative, chosen in zip(row.alternatives, row.probabilities, strict=True):
                for probability, last in self._bindings(alternative + rest, values, needed):
                    yield chosen * probability, last

    def _inside(self, part: GrammarPart) -> Iterator[GrammarPart]:
        """The parts of every alternative that a choice may take."""
        for (table, _), row in self.rows.items():
            if table == part.table:
                for alternative in row.alternatives:
                    yield from alternative

    def _find_binds(self, part: GrammarPart) -> frozenset[str]:
        return frozenset({part.bound} - {""}).union(*(self._binds(inner) for inner in self._inside(part)))

    def _find_reads(self, part: GrammarPart) -> frozenset[str]:
        """The variables that a part's text may depend on."""
        return frozenset({part.reads} - {""}).union(*(self._reads(inner) for inner in self._inside(part)))

    def _find_needs(self, part: GrammarPart) -> frozenset[str]:
        """The variables that what a part sets may depend on."""
        if part.is_condition or part.bound:
            return self._reads(part)
        if not self._binds(part):
            return frozenset()
        return frozenset({part.given} - {""}).union(*(self._needs(inner) for inner in self._inside(part)))

    def _all(self, parts: tuple[GrammarPart, ...], values: Values) -> Iterator[tuple[float, str, Values]]:
        if not parts:
            yield 1.0, "", values
            return
        part, rest = parts[0], parts[1:]
        if not part.table:
            literal = part.text or values[part.copied]
            for probability, text, after in self._all(rest, values):
                yield probability, literal + text, after
            return
        row = self._row(part, values)
        for alternative, chosen in zip(row.alternatives, row.probabilities, strict=True):
            for probability, text, after in self._all(alternative, values):
                kept = after | {part.bound: text} if part.bound else after
                for more, tail, finally_ in self._all(rest, kept):
                    yield chosen * probability * more, text + tail, finally_


def entropy_bits(probabilities: Sequence[float]) -> float:
    """Shannon entropy of one choice, in bits."""
    return sum(-p * math.log2(p) for p in probabilities)


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
    """The grammar for people: each rule with its alternatives and their probabilities, and the bits that it adds to a text."""
    rules = grammar.rules()
    bits = number_format.significant(sum(rule.bits for rule in rules))
    lines = [f"A story has {bits} bits on average, the sum of those of its choices.", ""]
    for rule in rules:
        name = f"{rule.table} of {rule.given}" if rule.given else rule.table
        uses, bits = map(number_format.significant, (rule.uses, rule.bits))
        lines.append(f"{name}: {uses} choices a story, {bits} bits")
        lines += [f"  {number_format.probability(p):>6}  {text}".rstrip().replace("\n", "␊") for text, p in rule.alternatives]
        lines.append("")
    return lines
