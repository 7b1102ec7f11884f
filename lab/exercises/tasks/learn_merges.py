"""Learn merges: byte-pair encoding's vocabulary, the most frequent pair merged again and again."""

from lab.exercises.material import Case, Material
from lab.exercises.tasks.count_pairs import count_pairs

Pair = tuple[int, int]


def merged(ids: list[int], pair: Pair, new: int) -> list[int]:
    """The ids with every such pair, from the left, replaced by the new id."""
    found, at = [], 0
    while at < len(ids):
        is_pair = tuple(ids[at : at + 2]) == pair
        found.append(new if is_pair else ids[at])
        at += 2 if is_pair else 1
    return found


def learn_merges(data: bytes, number: int) -> list[Pair]:
    ids, merges = list(data), list[Pair]()
    while len(merges) < number and (counts := count_pairs(ids)):
        merges.append(max(counts, key=lambda pair: counts[pair]))
        ids = merged(ids, merges[-1], 255 + len(merges))
    return merges


def cases(material: Material) -> list[Case]:
    return [
        Case("10 merges of the text's beginning", (material.text[:3000], 10)),
        Case("2 merges of abab", (b"abab", 2)),
        Case("the text aaaa, where pairs overlap", (b"aaaa", 2)),
        Case("a text that is soon one token", (b"ab", 5)),
    ]
