"""Near-duplicates against the exact similarity of the runs of five words; the table of what was seen against a Python set."""

import random
import re
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.data.cleaning import seen_hashes
from lab.data.cleaning.duplicates import DuplicateLines, NearDuplicates, _words
from lab.data.cleaning.seen_hashes import BAND_HASHES, BANDS, MULTIPLIER, SeenHashes, min_hashes, text_hashes

some = st.integers(0, 40) | st.integers(0, 40).map(lambda n: n << 12) | st.integers(1, 2**64 - 1)
"""Hashes of which many meet."""


@given(st.lists(st.lists(some, max_size=60), max_size=6))
def test_the_table_finds_what_a_set_finds(batches: list[list[int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen_hashes, "MOST_NEW", 20)
        check_against_a_set(batches)


def check_against_a_set(batches: list[list[int]]) -> None:
    table, seen = SeenHashes(), set[int]()
    for batch in batches:
        expected = []
        for number in batch:
            expected.append(number in seen)
            seen.add(number)
        assert table.add(np.array(batch, np.uint64)).tolist() == expected


def test_the_table_grows_and_when_it_is_full_still_finds_what_is_in_it() -> None:
    numbers = text_hashes(str(n) for n in range(20_000))
    table = SeenHashes(13_000)
    assert not table.add(numbers[:5000]).any()
    assert table.add(numbers[:5000]).all()
    assert not table.is_full
    assert not table.add(numbers[5000:]).any()
    assert table.is_full
    kept = 13_000
    assert table.add(numbers[:kept]).all()
    assert not table.add(numbers[kept:]).any(), "the ones that came later are not remembered"


def test_a_full_table_is_said_and_gives_the_same_whatever_the_parts() -> None:
    lines = [f"A line with the number {n % 30:>30} in it, long enough to be compared.\n" for n in range(90)]

    def by(parts: list[str]) -> tuple[str, tuple[str, ...]]:
        cleaner = DuplicateLines()
        cleaner._table = SeenHashes(12)
        return "".join(cleaner.clean(part, at == len(parts) - 1) for at, part in enumerate(parts)), cleaner.notes()

    kept, notes = by(["".join(lines)])
    assert by(lines) == (kept, notes)
    assert kept.count("\n") == 12 + 3 * 18  # 12 are remembered
    assert "full" in notes[0]


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


def test_bands_are_those_of_zlib_and_datasketch() -> None:
    from datasketch import MinHash  # here: it brings all of scipy, which collecting need not

    texts = [[(word * (at % 9 + 1)).encode() for word in WORDS[:at]] for at in (20, 21, 300)]
    for words, bands in zip(texts, min_hashes(texts).tolist(), strict=True):
        minhash = MinHash(num_perm=BANDS * BAND_HASHES, seed=1, hashfunc=int, scheme="affine32")
        for start in range(len(words) - 4):
            run = 0
            for word in words[start : start + 5]:
                run = (run + crc32(word)) * MULTIPLIER % 2**64
            minhash.update(run >> 32)
        for number, values in enumerate(minhash.hashvalues.reshape(BANDS, BAND_HASHES).tolist()):
            expected = number + 1
            for value in values:
                expected = (expected + value) * MULTIPLIER % 2**64
                expected ^= expected >> 32
            assert bands[number] == expected


@given(st.text("aZ_9 é“ß İΣ٣漢,.-\n'🙂\u0301", max_size=40))
def test_words_are_those_of_the_expression(text: str) -> None:
    assert _words(text) == [word.encode() for word in re.findall(r"\w+", text.lower())]


def test_paragraphs_that_share_no_run_of_words_stay() -> None:
    source = random.Random(2)
    text = "\n\n".join(" ".join(source.choices(WORDS, k=40)) for _ in range(300))
    assert NearDuplicates().clean(text, True) == text
