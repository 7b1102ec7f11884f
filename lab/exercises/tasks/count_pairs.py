"""Count pairs: how often each two neighbouring ids stand side by side."""

from collections import Counter
from itertools import pairwise

from lab.exercises.material import Case, Material


def count_pairs(ids: list[int]) -> dict[tuple[int, int], int]:
    return dict(Counter(pairwise(ids)))


def cases(material: Material) -> list[Case]:
    return [
        Case("the bytes of the text's beginning", (list(material.text[:2000]),)),
        Case("the text aaa", ([97, 97, 97],)),
        Case("one byte", ([97],)),
    ]
