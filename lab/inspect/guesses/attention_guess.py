"""The question which token a head attends to most from a position."""

from collections.abc import Sequence

import numpy as np

from lab.core.number_format import probability, significant
from lab.inspect.guesses.guess_choices import identity_of, listed, percentages, right_choices, tokens_before
from lab.inspect.stages.all_heads_stage import HeadSummary, most_bits, summary_of
from lab.inspect.stages.head_attention import attention_rows
from lab.inspect.stages.stage_context import StageContext
from lab.views.guess_question import GuessChoice, GuessQuestion

CHOICES = 6


def attention_question(context: StageContext) -> GuessQuestion:
    """The key with the largest attention of the context's head from its position, among keys of the prompt in their order.

    The choices are all keys where there are few; else the most attended, the first, the position itself, the one before it, and
    the next most attended ones.
    """
    at, run, tokens = context.position, context.opened.run.name, tokens_before(context)
    name = f"head {context.layer + 1}.{context.head + 1}"
    if at == 0:
        only = f"{context.here} is the first token: {name} can attend only to it. Choose a later position."
        return GuessQuestion("attention", only, tokens=tokens, position=at, run=run)
    pattern = attention_rows(context)[context.head, : at + 1].astype(float)
    chosen = _choose(pattern.tolist())
    shares = [float(pattern[key]) for key in chosen]
    right = right_choices(shares)
    if len(right) == len(chosen):
        tied = f"{name.capitalize()} attends equally to all choices from {context.here}: there is nothing to guess here."
        return GuessQuestion("attention", tied, tokens=tokens, position=at, run=run)
    printed = percentages(shares)
    best, first = [_key(context, chosen[index]) for index in right], printed[right[0]]
    most = f"{best[0]}: {first} of its attention" if len(best) == 1 else f"{listed(best)}, tied at {first} each"
    rest, left = at + 1 - len(chosen), max(0.0, 1 - sum(shares))
    return GuessQuestion(
        "attention",
        f"Which token does head {context.head + 1} of layer {context.layer + 1} attend to most from {_query(context)}?",
        choices=tuple(
            GuessChoice(context.name(key), share, text) for key, share, text in zip(chosen, shares, printed, strict=True)
        ),
        right=right,
        tokens=tokens,
        answer=f"It attends most to {most}.",
        why=_why(context, summary_of(pattern), first if len(best) == 1 else ""),
        others=GuessChoice(f"{rest} other token{'s' if rest > 1 else ''}", left, probability(left)) if rest else None,
        position=at,
        run=run,
        identity=identity_of(context, "attention", context.layer, context.head),
    )


def _choose(pattern: Sequence[float]) -> list[int]:
    """The keys to choose from, in the order of the prompt."""
    at = len(pattern) - 1
    by_share = sorted(range(len(pattern)), key=lambda key: (-pattern[key], key))
    return sorted(list(dict.fromkeys((by_share[0], 0, at, at - 1, *by_share)))[:CHOICES])


def _query(context: StageContext) -> str:
    """The token at the position, with its number."""
    here = context.here
    return here if here.endswith(")") else f"{here} (token {context.position + 1})"


def _key(context: StageContext, key: int) -> str:
    return "itself" if key == context.position else context.quoted(key)


def _why(context: StageContext, found: HeadSummary, most: str) -> str:
    """The kind of the head at this position, and the use of its largest weight; `most` is "" where that is tied."""
    if off := context.off("attn.z", context.head):
        return f"An intervention replaces this head's output ({off}), so the pattern does not decide it here."
    kind = found.kind(context.position + 1)
    if kind == "first-token sink":
        lengths = np.linalg.norm(context.heads(f"{context.block}attn.v")[context.head, : context.position + 1], axis=-1)
        first, others = (significant(float(each)) for each in (lengths[0], lengths[1:].mean()))
        return (
            f"This is a first-token sink, {probability(found.first)}. The value of the first token has norm {first}, those of "
            f"the others {others} on average: the shorter it is, the less this head adds here."
        )
    if kind == "diffuse":
        entropy = f"{significant(found.bits)} bits ({most_bits(context.position + 1)})"
        return f"The attention is diffuse here: its entropy is {entropy}, and its largest share {probability(found.most)}."
    pattern = {"previous-token": "It acts as a previous-token head here. ", "self": "It attends mainly to itself here. "}.get(
        kind, ""
    )
    target = "the position itself" if found.key == context.position else context.quoted(found.key)
    if not most:
        return f"{pattern}The values of the tied tokens have the largest weights in the head's output."
    return f"{pattern}In the head's output, the value of {target} has the weight {most}."
