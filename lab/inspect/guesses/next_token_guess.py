"""The question which token the model finds most probable next."""

import math
from collections.abc import Iterator

import numpy as np

from lab.core.number_format import fixed, probability, significant, whole
from lab.inspect.guesses.guess_choices import identity_of, listed, percentages, right_choices, shuffled, tokens_before
from lab.inspect.stages.stage_context import StageContext
from lab.views.guess_question import GuessChoice, GuessQuestion
from lab.views.number_tables import Numbers
from lab.views.softmax_table import softmax

CHOICES = 5
TOP = 3
"""The most probable tokens among the choices, as far as their labels tell them apart."""
RANKS = (5, 12, 30, 80, 200, 500)
"""0-based ranks of less probable tokens, which fill up the choices."""


def next_token_question(context: StageContext) -> GuessQuestion:
    """The most probable token after the position, at temperature 1, among plausible ones.

    The choices are the top few, the token that the prompt goes on with, one of the prompt's tokens, and some of lower rank. The
    probabilities are over the whole vocabulary.
    """
    probabilities: Numbers = softmax(context.logits)
    order = np.argsort(-probabilities, kind="stable").tolist()
    at = context.position
    chosen = shuffled(_choose(context, order), "next token", context.ids[: at + 1])
    shares = [float(probabilities[id_]) for id_ in chosen]
    right = right_choices(shares) if shares else ()
    if len(right) == len(chosen):
        tied = f"After {context.here} the model assigns the same probability to all choices: there is nothing to guess here."
        return GuessQuestion("next token", tied, tokens=tokens_before(context), position=at, run=context.opened.run.name)
    printed = percentages(shares)
    names = [f"“{context.tokenizer.label(id_)}”" for id_ in chosen]
    rest, left = len(probabilities) - len(chosen), max(0.0, 1 - sum(shares))
    best, first = [names[index] for index in right], printed[right[0]]
    answer = f"Most probable is {best[0]} with {first}." if len(best) == 1 else f"{listed(best)} are tied at {first} each."
    return GuessQuestion(
        "next token",
        f"Position {at + 1} predicts token {at + 2}. Which token is the most probable one there?",
        choices=tuple(GuessChoice(*each) for each in zip(names, shares, printed, strict=True)),
        right=right,
        tokens=tokens_before(context),
        asks_next=True,
        answer=answer,
        why=_why(context, probabilities, chosen[right[0]], len(best)),
        others=GuessChoice(f"{whole(rest)} other tokens" if rest > 1 else "1 other token", left, probability(left))
        if rest
        else None,
        position=at,
        run=context.opened.run.name,
        identity=identity_of(context, "next token"),
    )


def _choose(context: StageContext, order: list[int]) -> list[int]:
    """Ids of the choices, with labels that differ by more than spaces."""
    chosen: dict[str, int] = {}
    top = 0
    for id_ in order:
        if top == TOP or len(chosen) == CHOICES:
            break
        if chosen.setdefault(context.tokenizer.label(id_).strip(), id_) == id_:
            top += 1
    for id_ in _less_probable(context, order):
        if len(chosen) == CHOICES:
            break
        chosen.setdefault(context.tokenizer.label(id_).strip(), id_)
    return list(chosen.values())


def _less_probable(context: StageContext, order: list[int]) -> Iterator[int]:
    """The token that the prompt goes on with, the latest of the prompt that is not among the top, then ids of lower rank."""
    at = context.position
    yield from context.ids[at + 1 : at + 2]
    earlier = [id_ for id_ in reversed(context.ids[:at]) if id_ not in order[:TOP]]
    yield from earlier[:1]
    yield from (order[rank] for rank in RANKS if rank < len(order))
    yield from order[TOP:]


def _why(context: StageContext, probabilities: Numbers, best: int, tied: int) -> str:
    """The loss of the token that comes, or would come."""
    at, vocabulary = context.position, len(probabilities)
    if at + 1 < len(context.ids):
        actual = context.ids[at + 1]
        name = "it" if actual == best and tied == 1 else f"“{context.tokenizer.label(actual)}”"
        return f"The prompt goes on with {name}: the loss here is {_loss(float(probabilities[actual]))}."
    name = f"“{context.tokenizer.label(best)}”"
    uniform = f"ln {whole(vocabulary)} = {fixed(math.log(vocabulary), 2)}"
    return (
        f"If {name} comes next, the loss is {_loss(float(probabilities[best]))}; with equal probability for all it is {uniform}."
    )


def _loss(p: float) -> str:
    """`−ln 0.412 = 0.89`, computed from the printed probability, so that the line reproduces its result."""
    printed = float(f"{p:.3g}")
    if printed in (0, 1):
        return "<0.001" if printed else ">700"
    return f"−ln {significant(p, 3)} = {fixed(-math.log(printed), 2)}"
