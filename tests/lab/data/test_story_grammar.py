import math
import random
from collections import defaultdict
from collections.abc import Iterator

import pytest

from lab.data import builtin_stories
from lab.data.story_grammar import START, Grammar, GrammarPart, Tables, Values


def texts(grammar: Grammar) -> Iterator[tuple[float, str]]:
    """Every derivation there is: its probability and its text. For small grammars."""
    for probability, text, _ in _all(grammar, (GrammarPart(table=START),), {}):
        yield probability, text


def _all(grammar: Grammar, parts: tuple[GrammarPart, ...], values: Values) -> Iterator[tuple[float, str, Values]]:
    if not parts:
        yield 1.0, "", values
        return
    part, rest = parts[0], parts[1:]
    if not part.table:
        literal = part.text or values[part.copied]
        for probability, text, after in _all(grammar, rest, values):
            yield probability, literal + text, after
        return
    row = grammar._row(part, values)
    for alternative, chosen in zip(row.alternatives, row.probabilities, strict=True):
        for probability, text, after in _all(grammar, alternative, values):
            kept = after | {part.bound: text} if part.bound else after
            for more, tail, finally_ in _all(grammar, rest, kept):
                yield chosen * probability * more, text + tail, finally_


def log2_probability(text: str) -> float:
    """log2 of the probability that the grammar of the stories writes `text`, which must be whole stories."""
    at, total = 0, 0.0
    while at < len(text):
        ((log2, at, _),) = _read(builtin_stories.grammar(), (GrammarPart(table=START),), text, at, {})
        total += log2
    return total


def _read(
    grammar: Grammar, parts: tuple[GrammarPart, ...], text: str, at: int, values: Values
) -> Iterator[tuple[float, int, Values]]:
    if not parts:
        yield 0.0, at, values
        return
    part, rest = parts[0], parts[1:]
    if not part.table:
        literal = part.text or values[part.copied]
        if text.startswith(literal, at):
            yield from _read(grammar, rest, text, at + len(literal), values)
        return
    row = grammar._row(part, values)
    for alternative, probability in zip(row.alternatives, row.probabilities, strict=True):
        for log2, end, after in _read(grammar, alternative, text, at, values):
            kept = after | {part.bound: text[at:end]} if part.bound else after
            for more, last, finally_ in _read(grammar, rest, text, end, kept):
                yield math.log2(probability) + log2 + more, last, finally_


SMALL: Tables = {
    "story": {"A {hero=hero} ran{how}. {next}": 3, "{hero=hero} sat. {She:hero} slept{how}! {$hero}": 1},
    "hero": {"big dog": 3, "small dog": 1, "girl": 1, "cat": 1},
    "how": {" fast": 2, " home": 1, "": 0.5},
    "next": {"{seen} {act:thing} {$hero}, {$thing}, {$mood}": 2, "The {$hero} was {mood:hero}.": 1},
    "seen": {"{She:hero} saw a {thing=thing:hero}, {mood=mood:hero}.": 2, "{seen2}{thing=thing:hero}": 1},
    "seen2": {"A {thing=thing:hero}, {mood=mood:hero}. No: {thing=thing:hero}, {mood=mood:hero}{how}. No: ": 1},
    "She": {"girl": {"She": 1}, "big dog": {"It": 1}, "small dog": {"It": 1, "He": 1}, "cat": {"It": 1}},
    "thing": {"girl": {"ball": 1, "egg": 2}, "cat": {"egg": 1}, "big dog": {"bone": 1}, "small dog": {"bone": 3, "ball": 1}},
    "act": {"ball": {"Kick": 2, "Roll": 1}, "egg": {"Eat": 1}, "bone": {"Hide": 1, "Gnaw": 3}},
    "mood": {"girl": {"glad": 1}, "big dog": {"sad": 1, "glad": 2}, "small dog": {"mad": 1}, "cat": {"glad": 1, "mad": 1}},
}
"""Everything a grammar may hold: nesting, rows, variables bound inside and outside, bound again, and copied."""


def test_expectations_are_those_of_every_derivation() -> None:
    grammar = Grammar(SMALL)
    found = list(texts(grammar))
    assert len(found) > 250
    assert sum(p for p, _ in found) == pytest.approx(1, abs=1e-12)
    assert grammar.expected().bits == pytest.approx(-sum(p * math.log2(p) for p, _ in found), rel=1e-12)
    assert grammar.expected().bytes == pytest.approx(sum(p * len(text.encode()) for p, text in found), rel=1e-12)


def test_the_bits_of_the_rows_add_up_to_the_entropy() -> None:
    grammar = Grammar(SMALL)
    found = grammar.expected()
    uses = found.uses
    assert math.fsum(uses[key] * row.bits for key, row in grammar.rows.items()) == pytest.approx(found.bits, rel=1e-12)
    drawn: dict[str, float] = {}
    for probability, text in texts(grammar):
        for end in (" slept", " sat."):
            drawn[end] = drawn.get(end, 0.0) + probability * (end in text)
    assert uses["story", ""] == 1
    assert uses["next", ""] == pytest.approx(0.75)
    assert sum(uses["She", hero] for hero in ("girl", "big dog", "small dog", "cat")) > drawn[" slept"] == pytest.approx(0.25)
    row = grammar.rows["seen", ""]
    assert row.probabilities == pytest.approx((2 / 3, 1 / 3))
    assert (uses["seen", ""], row.bits) == pytest.approx((0.5, math.log2(3) - 2 / 3))


def test_the_worked_out_entropy_of_a_coin_and_a_die() -> None:
    grammar = Grammar(
        {"story": {"{coin=coin}{die:coin}": 1}, "coin": {"H": 1, "T": 1}, "die": {"H": {"é": 1}, "T": dict.fromkeys("1234", 1)}}
    )
    assert grammar.expected().bits == 1 + 0.5 * 2
    assert grammar.expected().bytes == 1 + 0.5 * 2 + 0.5 * 1


def test_each_text_that_is_drawn_has_its_probability() -> None:
    grammar = Grammar(SMALL)
    probability: dict[str, float] = defaultdict(float)
    for p, text in texts(grammar):
        probability[text] += p
    source = random.Random(3)
    counts: dict[str, int] = defaultdict(int)
    for _ in range(40_000):
        counts[grammar.draw(source)] += 1
    assert set(counts) <= set(probability)
    for text, p in probability.items():
        assert abs(counts[text] - 40_000 * p) < 5 * math.sqrt(40_000 * p) + 1
