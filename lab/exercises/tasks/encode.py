"""Encode: a text into tokens by the merges of a vocabulary, the earliest learned first."""

import itertools

from lab.exercises.exercise import Case
from lab.exercises.material import Material
from lab.exercises.tasks.learn_merges import Pair, learn_merges, merged


def encode(data: bytes, merges: list[Pair]) -> list[int]:
    ids = list(data)
    for rank, pair in enumerate(merges):
        ids = merged(ids, pair, 256 + rank)
    return ids


def by_position(data: bytes, merges: list[Pair]) -> list[int]:
    """The leftmost pair that can be merged first, whatever its rank."""
    ids, ranks = list(data), {pair: rank for rank, pair in enumerate(merges)}
    while True:
        at = next((at for at, pair in enumerate(itertools.pairwise(ids)) if pair in ranks), None)
        if at is None:
            return ids
        ids[at : at + 2] = [256 + ranks[ids[at], ids[at + 1]]]


def once(data: bytes, merges: list[Pair]) -> list[int]:
    """Every merge at its first place alone."""
    ids = list(data)
    for rank, pair in enumerate(merges):
        at = next((at for at, each in enumerate(itertools.pairwise(ids)) if each == pair), None)
        if at is not None:
            ids[at : at + 2] = [256 + rank]
    return ids


def cases(material: Material) -> list[Case]:
    merges = learn_merges(material.text[:3000], 40)
    return [
        Case("the prompt by 40 merges of the text", (material.prompt.encode(), merges)),
        Case("abc, where the later pair was learned first", (b"abc", [(98, 99), (97, 98)])),
        Case("aaa", (b"aaa", [(97, 97)])),
        Case("12,000 bytes of the text", (material.text[:12_000], merges)),
    ]


WRONG = {
    "Merges are applied by their place, from the left; the pair that was learned earliest goes first.": by_position,
    "The merges are applied in the reverse order.": lambda data, merges: reverse(data, merges),
    "Each merge is applied at one place only.": once,
    "Bytes are left as they are: no merge is applied.": lambda data, merges: list(data),
    "The new ids begin at 257 instead of 256.": lambda data, merges: [each + (each > 255) for each in encode(data, merges)],
}


def reverse(data: bytes, merges: list[Pair]) -> list[int]:
    ids = list(data)
    for rank in reversed(range(len(merges))):
        ids = merged(ids, merges[rank], 256 + rank)
    return ids
