"""Encode: a text into tokens by the merges of a vocabulary, the earliest learned first."""

from lab.exercises.material import Case, Material
from lab.exercises.tasks.learn_merges import Pair, learn_merges, merged


def encode(data: bytes, merges: list[Pair]) -> list[int]:
    ids = list(data)
    for rank, pair in enumerate(merges):
        ids = merged(ids, pair, 256 + rank)
    return ids


def cases(material: Material) -> list[Case]:
    merges = learn_merges(material.text[:3000], 40)
    return [
        Case("the prompt by 40 merges of the text", (material.prompt.encode(), merges)),
        Case("the text abc, where the later pair was learned first", (b"abc", [(98, 99), (97, 98)])),
        Case("the text aaa", (b"aaa", [(97, 97)])),
        Case("12,000 bytes of the text", (material.text[:12_000], merges)),
    ]
