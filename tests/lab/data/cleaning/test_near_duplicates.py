"""Near-duplicates against the exact similarity of the runs of five words."""

import random

from lab.data.cleaning.rules.duplicates import BAND_HASHES, BANDS, NearDuplicates

WORDS = [f"w{n}" for n in range(5000)]


def runs(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[at : at + 5]) for at in range(len(words) - 4)}


def similarity(one: list[str], other: list[str]) -> float:
    return len(runs(one) & runs(other)) / len(runs(one) | runs(other))


def removed(pairs: list[tuple[list[str], list[str]]]) -> int:
    """Pairs of which the second paragraph is removed after the first."""
    cleaners = ((NearDuplicates(), pair) for pair in pairs)
    return sum(
        not cleaner.clean(" ".join(one) + "\n\n" + " ".join(other), True).endswith(other[-1])
        for cleaner, (one, other) in cleaners
    )


def test_the_share_that_is_removed_is_that_of_the_formula() -> None:
    source = random.Random(1)
    for changes in (0, 1, 4, 12):
        pairs = []
        for _ in range(60):
            one = source.choices(WORDS, k=120)
            other = list(one)
            for at in range(changes):
                other[2 + at * 120 // max(1, changes)] = "new"
            pairs.append((one, [*other[:-1], other[-1], "end"]))
        likeness = sum(similarity(*pair) for pair in pairs) / len(pairs)
        expected = 1 - (1 - likeness**BAND_HASHES) ** BANDS
        assert abs(removed(pairs) / len(pairs) - expected) < 0.16, (changes, likeness)


def test_paragraphs_that_share_no_run_of_words_stay() -> None:
    source = random.Random(2)
    text = "\n\n".join(" ".join(source.choices(WORDS, k=40)) for _ in range(300))
    assert NearDuplicates().clean(text, True) == text
