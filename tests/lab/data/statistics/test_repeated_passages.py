"""Repeated passages against a search of the text itself."""

import json
import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data.statistics import stream_statistics
from lab.data.statistics.repeated_passages import PassageFinder, Repeats, fetch_excerpts
from lab.data.statistics.text_blocks import PrefixHasher
from tests.fixture_types import Call

BLOCK = 64


def find(text: str, most: int = 1 << 16, window: int = 5, block: int = BLOCK) -> Repeats:
    finder, hasher, prefix = PassageFinder(most, window), PrefixHasher(block), np.uint64(0)
    for start in range(0, len(text), block):
        codes = np.array([ord(character) for character in text[start : start + block]])
        hasher.begin_block(len(codes))
        prefixes = hasher.prefixes(codes, prefix)
        finder.add(start, prefixes, hasher.inverses)
        prefix = prefixes[-1]
    with ThreadPoolExecutor(1) as worker:
        return finder.find(lambda: (text[start : start + block] for start in range(0, len(text), block)), worker, bins=10)


def covered(text: str, window: int) -> list[bool]:
    """Of each character, whether it is in a window that stood earlier."""
    seen: set[str] = set()
    found = [False] * len(text)
    for start in range(len(text) - window + 1):
        piece = text[start : start + window]
        if piece in seen:
            found[start : start + window] = [True] * window
        seen.add(piece)
    return found


def longest_twice(text: str, window: int) -> int:
    """Length of the longest text that stands at two places apart from each other, if it is at least `window`."""
    best = 0
    for length in range(window, len(text) // 2 + 1):
        if any(text.find(text[start : start + length], start + length) >= 0 for start in range(len(text) - 2 * length + 1)):
            best = length
    return best


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet="ab", max_size=120), st.integers(7, 64))
def test_repeats_are_those_that_a_plain_search_finds(text: str, block: int) -> None:
    found = find(text, block=block)
    assert found.spacing == 1
    assert found.characters == sum(covered(text, 5))
    longest = longest_twice(text, 5)
    assert (found.passages[0].length if found.passages else 0) == longest
    for passage in found.passages:
        first = text[passage.starts[0] : passage.starts[0] + passage.length]
        assert len(passage.starts) == text.count(first) >= 2
        assert all(text.startswith(first, start) for start in passage.starts)


def test_the_map_shows_where_repeats_lie() -> None:
    letters = "".join(random.Random(1).choices("abcdefgh", k=500))
    found = find(letters + letters, window=12)
    assert found.characters == 500
    assert found.density[:5] == pytest.approx([0] * 5)
    assert found.density[5:] == pytest.approx([1] * 5)
    assert (found.passages[0].length, found.passages[0].starts) == (500, (0, 500))


def random_text(seed: int, length: int) -> str:
    return "".join(random.Random(seed).choices("abcdefghijklmnopqrstuvwxyz ", k=length))


def test_a_sampled_text_gives_lower_bounds_and_the_same_passage_once_extended() -> None:
    passage = random_text(1, 3_000)
    text = random_text(2, 4_999) + "1" + passage + "2" + random_text(3, 3_998) + "3" + passage + "4" + random_text(4, 3_000)
    found = find(text, most=1_500, window=20)
    assert found.spacing > 1
    assert 2_000 < found.characters <= 3_000
    passages, rare = fetch_excerpts(lambda: iter([(text, len(text), True)]), len(text), found, [(10, 20)], lambda progress: False)
    assert passages[0].length == 3_000
    assert passages[0].copies == 2
    assert passages[0].excerpt.lstrip("…") == passage[:400]
    assert passages[0].places == (5_000 / len(text), 12_000 / len(text))
    assert rare == (text[10:30].lower(),)


@pytest.mark.parametrize("copied", [0.0, 0.5, 1.0])
def test_of_a_long_text_the_share_is_estimated_within_its_error(copied: float) -> None:
    draw = random.Random(8)
    sentences = ["".join(draw.choices("abcdefgh ", k=draw.randrange(55, 120))) for _ in range(1_000)]
    text = "".join(
        draw.choice(sentences) if draw.random() < copied else "".join(draw.choices("ijklmnop ", k=90)) for _ in range(3_000)
    )
    exact = find(text, 1 << 30, 50, 1 << 14)
    sampled = find(text, 1 << 13, 50, 1 << 14)
    assert (exact.spacing, exact.error, exact.share) == (1, 0.0, exact.characters / exact.length)
    assert sampled.spacing > 16
    assert sampled.characters <= exact.characters
    assert 0 < sampled.error < 0.044
    assert sampled.share == pytest.approx(exact.share, abs=sampled.error)


def with_excerpts(seed: int, length: int) -> str:
    """A text of which about half are short excerpts of what stood before, from anywhere in it, so that many overlap."""
    draw = random.Random(seed)
    text = bytearray(random_text(seed, 2_000), "ascii")
    while len(text) < length:
        at, size = draw.randrange(len(text) - 80), draw.randrange(50, 80)
        text += text[at : at + size] if draw.random() < 0.6 else draw.randbytes(45).hex().encode()
    return text.decode()


def test_the_interval_holds_the_share_of_short_passages_in_texts_of_any_seed() -> None:
    off = []
    for seed in range(5):
        text = with_excerpts(seed, 150_000)
        exact, sampled = find(text, 1 << 30, 50, 1 << 14), find(text, 1 << 13, 50, 1 << 14)
        assert sampled.spacing > 8
        off.append((sampled.share - exact.share) / sampled.error)
    assert max(map(abs, off)) < 1.3
    assert sum(abs(each) > 1 for each in off) <= 1
    assert abs(sum(off) / len(off)) < 0.6, "it is not off on one side"


def test_what_is_said_of_a_text_too_long_for_all_its_windows_holds(
    llmlab: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = with_excerpts(9, 150_000)
    (tmp_path / "text.txt").write_text(text)
    exact = json.loads(llmlab("data", tmp_path / "text.txt", "--json").out)["text"]["repeated_passages"]
    monkeypatch.setattr(stream_statistics, "PassageFinder", partial(stream_statistics.PassageFinder, 1 << 13))
    found = json.loads(llmlab("data", tmp_path / "text.txt", "--json").out)["text"]["repeated_passages"]
    assert (exact["is_exact"], found["is_exact"]) == (True, False)
    assert found["share"] == pytest.approx(exact["share"], abs=found["share_error"])
