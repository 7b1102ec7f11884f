"""Count pairs: how often each two neighbouring ids stand side by side."""

from collections import Counter
from itertools import pairwise

from lab.exercises.exercise import Case
from lab.exercises.material import Material

Pairs = dict[tuple[int, int], int]


def count_pairs(ids: list[int]) -> Pairs:
    return dict(Counter(pairwise(ids)))


def cases(material: Material) -> list[Case]:
    return [
        Case("the bytes of the text's beginning", (list(material.text[:2000]),)),
        Case("aaa", ([97, 97, 97],)),
        Case("one byte", ([97],)),
    ]


WRONG = {
    "Every second pair is left out: neighbours overlap, so that (2, 3) counts in 1 2 3 4, too.": lambda ids: dict(
        Counter(zip(ids[::2], ids[1::2], strict=False))
    ),
    "A pair counts as the same in both orders; (1, 2) and (2, 1) are two pairs.": lambda ids: dict(
        Counter(tuple(sorted(pair)) for pair in pairwise(ids))
    ),
    "Each pair is counted once only.": lambda ids: dict.fromkeys(pairwise(ids), 1),
    "The last pair is left out.": lambda ids: dict(Counter(pairwise(ids[:-1]))),
    "The last id is paired with the first, though nothing follows it.": lambda ids: dict(
        Counter(zip(ids, ids[1:] + ids[:1], strict=True))
    ),
    "Single ids are counted, not pairs.": lambda ids: dict(Counter(ids)),
}
