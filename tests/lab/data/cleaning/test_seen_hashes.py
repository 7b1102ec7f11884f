"""The compact table of hashes against a Python set, and its limit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data.cleaning.rules.duplicates import DuplicateLines
from lab.data.cleaning.rules.seen_hashes import SeenHashes, text_hashes

some = st.integers(0, 40) | st.integers(0, 40).map(lambda n: n << 12) | st.integers(1, 2**64 - 1)
"""Hashes of which many meet, also in a slot."""


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(some, max_size=60), max_size=6))
def test_the_table_finds_what_a_set_finds(batches: list[list[int]]) -> None:
    table, seen = SeenHashes(), set[int]()
    for batch in batches:
        expected = []
        for number in batch:
            expected.append((number or 1) in seen)
            seen.add(number or 1)
        assert table.add(np.array(batch, np.uint64)).tolist() == expected


def test_the_table_grows_and_when_it_is_full_still_finds_what_is_in_it() -> None:
    numbers = text_hashes(str(n) for n in range(20_000))
    table = SeenHashes(1 << 14)
    assert not table.add(numbers[:5000]).any()
    assert table.add(numbers[:5000]).all()
    assert not table.is_full
    assert not table.add(numbers[5000:]).any()
    assert table.is_full
    kept = int(0.8 * (1 << 14))
    assert table.add(numbers[:kept]).all()
    assert not table.add(numbers[kept:]).any(), "the ones that came later are not remembered"


def test_a_full_table_is_said_and_gives_the_same_whatever_the_parts() -> None:
    lines = [f"A line with the number {n % 30:>30} in it, long enough to be compared.\n" for n in range(90)]

    def by(parts: list[str]) -> tuple[str, tuple[str, ...]]:
        cleaner = DuplicateLines()
        cleaner._table = SeenHashes(16)
        return "".join(cleaner.clean(part, at == len(parts) - 1) for at, part in enumerate(parts)), cleaner.notes()

    kept, notes = by(["".join(lines)])
    assert by(lines) == (kept, notes)
    assert kept.count("\n") == 12 + 3 * 18  # 80% of 16 slots are remembered
    assert "full" in notes[0]
