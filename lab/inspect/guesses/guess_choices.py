"""Choices of a guess: their order, their ties, their printed shares."""

import hashlib
from collections.abc import Iterable, Sequence

from lab.core.number_format import probability
from lab.inspect.stages.stage_context import StageContext

TIE = 1e-6
"""Relative difference below which two shares are tied: float32 logits are no more exact."""
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


def listed(labels: Sequence[str]) -> str:
    """`“a”`, `“a” and “b”`, `“a”, “b” and “c”`."""
    return " and ".join(filter(None, (", ".join(labels[:-1]), labels[-1])))
