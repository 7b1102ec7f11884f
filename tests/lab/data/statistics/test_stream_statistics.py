"""Statistics of a text against Python's own counts, and their independence of how the text comes in parts."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from lab.data.statistics.stream_statistics import TextStatistics, stream_statistics

TEXT = (
    "The big dog ran fast, and Zoë's cat didn't.\n\n\tIt ran: 42 times — 😀!\n"
    "Мама мыла раму и не знала.\r\n吾輩は猫である。\rThe big dog ran fast, and Zoë's cat didn't.\n"
    "שלום עולם\u200b\u00a0end of it"
)
LETTERS = st.text(alphabet=st.sampled_from("abAB éß'’ \n\r\tжя中か\u200b\u0301😀.,1"), max_size=300)

SAME_FOR_ALL_BLOCKS = ("characters", "bytes", "lines", "words", "endings", "classes", "lengths", "common_lines", "repeated_lines")
"""A block may cut a word of its length in two; all else is independent of where blocks end."""


def parts_of(*documents: list[str]) -> Iterator[tuple[str, int, bool]]:
    read = 0
    for document in documents:
        for number, part in enumerate(document):
            read += len(part.encode())
            yield part, read, number == 0


def statistics(*documents: list[str], block: int = 1 << 12) -> TextStatistics:
    size = sum(len(part.encode()) for document in documents for part in document)
    *_, last = stream_statistics(lambda: parts_of(*documents), size, lambda progress: False, block=block)
    return last


def cut(text: str, places: list[int]) -> list[str]:
    borders = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[a:b] for a, b in pairwise(borders)]


def expected_words(text: str) -> Counter[str]:
    """Runs of letters and marks with apostrophes inside, of spaced scripts."""
    unspaced = ("CJK", "HIRAGANA", "KATAKANA")

    def inside(character: str) -> bool:
        return unicodedata.category(character)[0] in "LM" and not unicodedata.name(character, "").startswith(unspaced)

    marked = "".join(character if inside(character) or character in "'’" else " " for character in text)
    return Counter(word.lower() for run in marked.split() for word in re.findall(r"[^'’]+(?:['’][^'’]+)*", run))


@settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(LETTERS, st.lists(st.integers(0, 300), max_size=6), st.integers(4, 40))
def test_statistics_do_not_depend_on_the_parts_or_the_blocks(text: str, places: list[int], block: int) -> None:
    whole = statistics([text], block=len(text) + 1)
    assert statistics(cut(text, places), block=len(text) + 1) == whole
    assert whole.lines == (len(text.replace("\r\n", "\n").replace("\r", "\n").split("\n")) - (text[-1:] in ("\n", "\r", "")))
    if " " in text or "\n" in text:
        small = statistics(cut(text, places), block=block)
        for name in SAME_FOR_ALL_BLOCKS:
            assert getattr(small, name) == getattr(whole, name), name


@settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@example(TEXT)
@given(LETTERS)
def test_any_text_is_counted_as_python_counts_it(text: str) -> None:
    found = statistics([text], block=len(text) + 1)
    assert found.is_complete
    assert (found.bytes, found.characters, found.words) == (len(text.encode()), len(text), len(text.split()))
    characters, words = Counter(text), expected_words(text)
    assert found.distinct_characters == len(characters)
    assert [count for _, count in found.common_characters] == sorted(characters.values(), reverse=True)[:60]
    assert [count for _, count in found.rare_characters] == sorted(characters.values())[:40]
    assert all(characters[character] == count for character, count in found.common_characters + found.rare_characters)
    assert sum(count for _, count in found.classes) == len(text)
    assert dict(found.common_words) == dict(words)
    assert (found.letter_words, found.distinct_words) == (words.total(), len(words))
    once = {word for word, count in words.items() if count == 1}
    assert set(found.rare_words) <= once
    assert len(found.rare_words) == min(40, len(once))
    crlf = text.count("\r\n")
    assert (found.endings.lf, found.endings.crlf, found.endings.cr) == (text.count("\n") - crlf, crlf, text.count("\r") - crlf)
    lines = re.split("\r\n|\r|\n", text)
    lines = lines[:-1] if lines[-1] == "" else lines
    assert (found.lines, found.empty_lines) == (len(lines), lines.count(""))
    counter = Counter(line for line in lines if line)
    assert found.repeated_lines == sum(count - 1 for count in counter.values())
    assert found.repeated_line_characters == sum((count - 1) * len(line) for line, count in counter.items())
    assert dict(found.common_lines) == {line: count for line, count in counter.items() if count > 1}
    lengths = Counter(map(len, lines))
    assert list(found.lengths.counts) == [lengths[length] for length in range(max(lengths, default=0) + 1)]
    assert found.lengths.longest == max(lengths, default=0)


def test_documents_do_not_share_a_line_or_a_word() -> None:
    found = statistics(["one", " two"], ["three\r"], ["\nfour\n"])
    assert found.document_bytes == (7, 6, 6)
    assert (found.characters, found.bytes) == (19, 19)
    assert found.lines == 4
    assert dict(found.common_words) == {"one": 1, "two": 1, "three": 1, "four": 1}
    assert (found.endings.lf, found.endings.crlf, found.endings.cr) == (2, 0, 1)
    assert dict(found.common_characters)["\n"] == 2


def test_a_very_long_line_and_many_empty_ones() -> None:
    found = statistics(["x" * 30_000, "\n" * 5_000])
    assert (found.lines, found.empty_lines, found.lengths.longest) == (5_000, 4_999, 30_000)
    assert found.lengths.longer == 1
    assert found.repeated_lines == 0
    assert found.common_lines == ()


def test_results_come_on_the_way_and_grow() -> None:
    text = "some words here\n" * 2_000
    asked = iter(range(10_000))
    all_found = list(stream_statistics(lambda: parts_of([text]), len(text), lambda progress: next(asked) % 2 == 1, block=1 << 10))
    assert all_found[0].characters <= 1 << 10
    sizes = [found.characters for found in all_found]
    assert sizes == sorted(sizes)
    assert [found.stage for found in all_found][-3:] == ["reading excerpts", "telling languages", ""]
    assert [found.is_complete for found in all_found] == [False] * (len(all_found) - 1) + [True]
    assert len(all_found) > 8


def test_an_empty_text_has_empty_statistics() -> None:
    found = statistics([""])
    assert (found.bytes, found.characters, found.lines, found.words, found.classes, found.passages) == (0, 0, 0, 0, (), ())
