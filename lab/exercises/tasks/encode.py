"""Encode: a text into tokens by the merges of a vocabulary, the earliest learned first."""

from lab.exercises.exercise import task_of
from lab.exercises.material import Case, Material


def cases(material: Material) -> list[Case]:
    merges = task_of("learn_merges").reference(material.text[:3000], 40)
    return [
        Case("the prompt by 40 merges of the text", (material.prompt.encode(), merges)),
        Case("the text abc, where the later pair was learned first", (b"abc", [(98, 99), (97, 98)])),
        Case("the text aaa", (b"aaa", [(97, 97)])),
        Case("12,000 bytes of the text", (material.text[:12_000], merges)),
    ]
