"""Counts in bounded memory against a Counter."""

import random
from collections import Counter

import numpy as np
import pytest

from lab.data.statistics.text_blocks import HashCounts, mixed


def add(table: HashCounts, items: list[int], first: int) -> None:
    values = np.array(items, np.uint64)
    places = np.arange(first, first + len(items))
    table.add(mixed(values), places, np.ones(len(items), np.int64), lambda at: f"item {items[at]}")


def items_in_blocks() -> list[list[int]]:
    """Few common items among very many that occur once or twice."""
    chance = random.Random(3)
    items = [chance.choice((chance.randrange(10), chance.randrange(10, 10_000))) for _ in range(8_000)]
    return [items[at : at + 500] for at in range(0, len(items), 500)]


def test_counts_are_exact_while_there_is_room() -> None:
    table, counter = HashCounts(20_000, 10), Counter[int]()
    for number, block in enumerate(items_in_blocks()):
        add(table, block, 500 * number)
        counter.update(block)
    assert table.error == 0
    assert table.distinct == len(counter)
    assert sorted(table.counts) == sorted(counter.values())
    expected = sorted((-count, f"item {item}") for item, count in counter.items())[:10]
    assert table.most_common(10) == [(name, -count) for count, name in expected]
    first, length = table.rare(1)[0]
    flat = [item for block in items_in_blocks() for item in block]
    assert (counter[flat[first]], length) == (1, 1)


def test_without_room_the_most_common_are_kept_and_the_error_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.data.statistics.text_blocks.MOST_TEXTS", 100)
    table, counter = HashCounts(1_000, 10), Counter[int]()
    for number, block in enumerate(items_in_blocks()):
        add(table, block, 500 * number)
        counter.update(block)
        assert table.distinct <= 1_000
        assert len(table._texts) <= 100
    assert 0 < table.error < 50
    found = dict(table.most_common(10))
    assert set(found) == {f"item {item}" for item in range(10)}
    for name, count in found.items():
        assert counter[int(name.split()[1])] - table.error <= count <= counter[int(name.split()[1])]
