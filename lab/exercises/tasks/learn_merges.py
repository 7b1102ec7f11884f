"""Learn merges: byte-pair encoding's vocabulary, the most frequent pair merged again and again."""

from lab.exercises.exercise import Case
from lab.exercises.material import Material
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


def learned(
    data: bytes, number: int, *, least: bool = False, recount: bool = True, reuse: bool = False, fails: bool = False
) -> list[Pair]:
    """The merges; and with a mistake asked for, those of it."""
    ids, merges = list(data), list[Pair]()
    counts = count_pairs(ids)
    while len(merges) < number:
        counts = count_pairs(ids) if recount else {pair: count for pair, count in counts.items() if pair not in merges}
        if not counts and not fails:
            break
        merges.append((min if least else max)(counts, key=lambda pair: counts[pair]))
        ids = merged(ids, merges[-1], 255 + (0 if reuse else len(merges)))
    return merges


def learn_merges(data: bytes, number: int) -> list[Pair]:
    return learned(data, number)


def cases(material: Material) -> list[Case]:
    return [
        Case("10 merges of the text's beginning", (material.text[:3000], 10)),
        Case("2 merges of abab", (b"abab", 2)),
        Case("aaaa, where pairs overlap", (b"aaaa", 2)),
        Case("a text that is soon one token", (b"ab", 5)),
    ]


WRONG = {
    "The rarest pair is merged, not the most frequent one.": lambda data, number: learned(data, number, least=True),
    "Pairs are counted once at the start; after each merge there are other pairs.": lambda data, number: learned(
        data, number, recount=False
    ),
    "All merges make the same id; each needs a new one, 256 and on.": lambda data, number: learned(data, number, reuse=True),
    "It fails where no pair is left; return the merges so far.": lambda data, number: learned(data, number, fails=True),
    "There is one merge too few.": lambda data, number: learned(data, max(0, number - 1)),
}
