"""Every derivation of a grammar's texts, by brute force: the independent source for its entropy."""

import math
from collections.abc import Iterator

from lab.data import builtin_stories
from lab.data.story_grammar import START, Grammar, GrammarPart, Values


def texts(grammar: Grammar) -> Iterator[tuple[float, str]]:
    """Every derivation there is: its probability and its text. For small grammars."""
    for probability, text, _ in grammar._all((GrammarPart(table=START),), {}):
        yield probability, text


def derivations(grammar: Grammar, text: str, at: int = 0) -> Iterator[tuple[float, int]]:
    """Every derivation of a text that stands at `at`: the log2 of its probability, and its end."""
    for log2, end, _ in _read(grammar, (GrammarPart(table=START),), text, at, {}):
        yield log2, end


def log2_probability(text: str) -> float:
    """log2 of the probability that the grammar of the stories writes `text`, which must be whole stories.

    Raises:
        ValueError: if it is not.
    """
    at = 0
    total = 0.0
    while at < len(text):
        found = list(derivations(builtin_stories.grammar(), text, at))
        if len(found) != 1:
            raise ValueError(f"the text at {at} is derived in {len(found)} ways: {text[at : at + 40]!r}")
        total += found[0][0]
        at = found[0][1]
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
