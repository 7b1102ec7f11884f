"""Questions for the learner on a traced prompt: the most probable next token, and the token that a head attends to most."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from lab.core.number_format import fixed, listed, probability, significant, whole
from lab.inspect.stages.all_heads_stage import HeadSummary, most_bits, summary_of
from lab.inspect.stages.attention_scores_stage import rows_and_columns
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import GuessChoice, GuessQuestion
from lab.views.number_tables import Numbers
from lab.views.softmax_table import softmax

TIE = 1e-6
"""Relative difference below which two shares are tied: float32 logits are no more exact."""
LEAST_MARGIN = 0.03
"""Difference of the two largest shares below which a guess between them is a lottery."""
MOST_ENTROPY = 0.95
"""Share of the largest possible entropy above which a guess is a lottery."""
MOST_DECIMALS = 6
TOKENS_SHOWN = 40
"""Tokens before the one asked about that the question carries."""


def shuffled(ids: Iterable[int], *salt: object) -> list[int]:
    """The ids in an order that depends on them and on `salt` alone, so that a place says nothing about a share."""
    return sorted(ids, key=lambda id_: _digest(*salt, id_))


def identity_of(context: StageContext, about: str, *place: int) -> str:
    """Name of a question: the same for the same weights, interventions, place, and tokens up to there."""
    opened, ids = context.opened, context.ids[: context.position + 1]
    return _digest(opened.run.name, opened.step, about, ids, context.trace.edits, *place)


def _digest(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()


def right_choices(shares: Sequence[float]) -> tuple[int, ...]:
    """Indices of the largest share and of those tied with it."""
    largest = max(shares)
    return tuple(index for index, share in enumerate(shares) if share >= largest * (1 - TIE))


def is_lottery(shares: Numbers) -> bool:
    """True where knowledge hardly helps: the largest of all shares is close to the next one, or the entropy to its maximum."""
    *_, second, first = np.sort(shares)
    positive = shares[shares > 0]
    entropy = -float((positive * np.log(positive)).sum())
    return bool(first - second < LEAST_MARGIN or entropy > MOST_ENTROPY * math.log(len(shares)))


def percentages(shares: Sequence[float]) -> list[str]:
    """The shares in percent, with as many decimals as tell the largest from the largest that is not tied with it."""
    right = right_choices(shares)
    behind = max((share for index, share in enumerate(shares) if index not in right), default=None)
    for decimals in range(1, MOST_DECIMALS + 1):
        printed = [probability(share, decimals) for share in shares]
        if behind is None or probability(behind, decimals) != printed[right[0]]:
            break
    return printed


def tokens_before(context: StageContext) -> tuple[str, ...]:
    """Labels of the tokens up to the position."""
    first = max(0, context.position + 1 - TOKENS_SHOWN)
    return tuple(context.label(index) for index in range(first, context.position + 1))


TOKEN_CHOICES = 5
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
    chosen = shuffled(_token_choices(context, order), "next token", context.ids[: at + 1])
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
        why=_why_token(context, probabilities, chosen[right[0]], len(best)),
        others=GuessChoice(f"{whole(rest)} other tokens" if rest > 1 else "1 other token", left, probability(left))
        if rest
        else None,
        position=at,
        run=context.opened.run.name,
        identity=identity_of(context, "next token"),
        is_lottery=is_lottery(probabilities),
    )


def _token_choices(context: StageContext, order: list[int]) -> list[int]:
    """Ids of the choices, with labels that differ by more than spaces."""
    chosen: dict[str, int] = {}
    top = 0
    for id_ in order:
        if top == TOP or len(chosen) == TOKEN_CHOICES:
            break
        if chosen.setdefault(context.tokenizer.label(id_).strip(), id_) == id_:
            top += 1
    for id_ in _less_probable(context, order):
        if len(chosen) == TOKEN_CHOICES:
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


def _why_token(context: StageContext, probabilities: Numbers, best: int, tied: int) -> str:
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


KEY_CHOICES = 6


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
    pattern = rows_and_columns(context)[0][context.head, : at + 1].astype(float)
    chosen = _key_choices(pattern.tolist())
    shares = [float(pattern[key]) for key in chosen]
    right = right_choices(shares)
    if len(right) == len(chosen):
        tied = f"{name.capitalize()} attends equally to all choices from {context.here}: there is nothing to guess here."
        return GuessQuestion("attention", tied, tokens=tokens, position=at, run=run)
    printed = percentages(shares)
    best = ["itself" if chosen[index] == at else context.quoted(chosen[index]) for index in right]
    first, here = printed[right[0]], context.here
    query = here if here.endswith(")") else f"{here} (token {at + 1})"
    most = f"{best[0]}: {first} of its attention" if len(best) == 1 else f"{listed(best)}, tied at {first} each"
    rest, left = at + 1 - len(chosen), max(0.0, 1 - sum(shares))
    return GuessQuestion(
        "attention",
        f"Which token does head {context.head + 1} of layer {context.layer + 1} attend to most from {query}?",
        choices=tuple(
            GuessChoice(context.name(key), share, text) for key, share, text in zip(chosen, shares, printed, strict=True)
        ),
        right=right,
        tokens=tokens,
        answer=f"It attends most to {most}.",
        why=_why_key(context, summary_of(pattern), first if len(best) == 1 else ""),
        others=GuessChoice(f"{rest} other token{'s' if rest > 1 else ''}", left, probability(left)) if rest else None,
        position=at,
        run=run,
        identity=identity_of(context, "attention", context.layer, context.head),
        is_lottery=is_lottery(pattern),
    )


def _key_choices(pattern: Sequence[float]) -> list[int]:
    """The keys to choose from, in the order of the prompt."""
    at = len(pattern) - 1
    by_share = sorted(range(len(pattern)), key=lambda key: (-pattern[key], key))
    return sorted(list(dict.fromkeys((by_share[0], 0, at, at - 1, *by_share)))[:KEY_CHOICES])


def _why_key(context: StageContext, found: HeadSummary, most: str) -> str:
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
