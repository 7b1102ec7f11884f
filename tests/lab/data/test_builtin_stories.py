import hashlib
import itertools
import math
import re
from collections.abc import Iterator

import pytest

from lab.data import builtin_stories
from lab.data.story_grammar import Grammar, GrammarPart
from lab.data.text_source import open_corpus
from tests.lab.data.test_story_grammar import log2_probability


def test_the_language_reference() -> None:
    from pydoc_data.topics import topics

    corpus = open_corpus("python")
    text = "".join(corpus.chunks())
    assert corpus.bytes == len(text.encode()) > 400_000
    assert all(topics[topic].strip("\n") in text for topic in topics)
    assert text.index(topics["with"].strip("\n")) > text.index(topics["assert"].strip("\n"))


def test_stories_of_any_size_end_with_a_story_and_know_their_entropy_unless_they_are_cleaned() -> None:
    for source, size in (("stories", 1_000_000), ("stories:20kB", 20_000), ("stories:0.3MB", 300_000), ("stories:1", 1)):
        corpus = open_corpus(source)
        text = "".join(corpus.chunks())
        assert size <= corpus.bytes == len(text) == corpus.measure().characters < size + 1000
        assert text.endswith(".\n\n")
        assert corpus.entropy_bits_per_byte
        assert "".join(open_corpus(corpus.source).chunks()) == text
    assert open_corpus("stories", cleaning=("duplicate-lines",)).entropy_bits_per_byte is None


def test_stories_of_the_default_size_are_made_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(open_corpus("stories").chunks())
    monkeypatch.setattr("lab.data.builtin_stories.generate", lambda size: pytest.fail("made again"))
    assert "".join(open_corpus("stories").chunks()) == text


SIZE = 200_000


@pytest.fixture(scope="module")
def text() -> str:
    return "".join(builtin_stories.generate(SIZE, seed=1))


def beginnings(grammar: Grammar, parts: tuple[GrammarPart, ...], length: int) -> set[str]:
    """The first `length` characters of every text of `parts`, whatever came before: a copy may be any text of any table that
    binds it."""

    def texts(parts: tuple[GrammarPart, ...], left: int) -> Iterator[str]:
        if not parts or left <= 0:
            yield ""
            return
        part, rest = parts[0], parts[1:]
        if part.text:
            heads = {part.text}
        else:
            rows = [
                row
                for (table, _), row in grammar.rows.items()
                if table in (sources(part.copied) if part.copied else {part.table})
            ]
            heads = {head for row in rows for alternative in row.alternatives for head in texts(alternative, left)}
        for head in heads:
            for tail in texts(rest, left - len(head)):
                yield (head + tail)[:left]

    def sources(variable: str) -> set[str]:
        every = (part for row in grammar.rows.values() for alternative in row.alternatives for part in alternative)
        return {part.table for part in every if part.bound == variable}

    return set(texts(parts, length))


def test_no_text_of_an_alternative_begins_with_one_of_another() -> None:
    """Then a reader who goes from left to right always knows which alternative was taken: each story is derived in one way
    only."""
    grammar = builtin_stories.grammar()
    checked = 0
    for row in grammar.rows.values():
        for one, other in itertools.combinations(row.alternatives, 2):
            assert any(not _may_begin_alike(grammar, one, other, length) for length in (1, 4, 12, 24, 60)), (one, other)
            checked += 1
    assert checked > 300


def _may_begin_alike(grammar: Grammar, one: tuple[GrammarPart, ...], other: tuple[GrammarPart, ...], length: int) -> bool:
    ours, theirs = beginnings(grammar, one, length), beginnings(grammar, other, length)
    if ours & theirs:
        return True
    short = [text for text in ours | theirs if len(text) < length]
    return any(long.startswith(text) for text in short for long in (theirs if text in ours else ours))


def test_a_long_text_costs_as_many_bits_as_the_entropy_says(text: str) -> None:
    """The law of large numbers: within four standard errors of the mean over stories, taken from the sample itself."""
    entropy = builtin_stories.entropy_bits_per_byte()
    bits = [-log2_probability(story) - entropy * len(story) for story in re.findall(r".+?\n\n", text, re.DOTALL)]
    mean = sum(bits) / len(bits)
    spread = math.sqrt(sum((value - mean) ** 2 for value in bits) / (len(bits) - 1))
    assert abs(mean) < 4 * spread / math.sqrt(len(bits))
    assert -log2_probability(text) / len(text) == pytest.approx(entropy, rel=0.01)


def test_the_text_is_the_same_everywhere_and_always_and_a_longer_one_begins_with_it(text: str) -> None:
    data = "".join(builtin_stories.generate(50_000)).encode()
    assert hashlib.sha256(data).hexdigest() == "c343e9bb2fa34f490e5fd2cdd223f2169a54ccad8f44085be62737de0c3c0a29"
    assert text.startswith("".join(builtin_stories.generate(10_000, seed=1)))
    assert not text.startswith("".join(builtin_stories.generate(10_000, seed=2)))
    assert not list(builtin_stories.generate(0))


def test_stories_read_well(text: str) -> None:
    assert text.isascii()
    assert "the big dog ran fast." in text
    assert not re.search(r"\ba [aeiou]|  | [.,!?]|\{|\}", text)


def test_the_grammar_of_english_holds(text: str) -> None:
    kinds = {"girl": "She", "queen": "She", "boy": "He", "king": "He"}
    for story in text.split("\n\n")[:-1]:
        hero, name = re.search(r"^(?:Once there was|One day) a \w+ (\w+) named (\w+)", story).groups()  # type: ignore[union-attr]
        pronouns = set(re.findall(r"(?:^|[.!?,\"] |Soon |Then |At last )(She|He|It|she|he|it)\b", story))
        assert {pronoun.title() for pronoun in pronouns} <= {kinds.get(hero, "It")}
        things = set(re.findall(r"\b(ball|apple|hat|flower|boat|kite|key|ring)\b", story))
        assert len(things) == 1
        friend = re.search(r" met a \w+ \w+ named (\w+)", story)
        names = {name} | ({friend[1]} if friend else set())
        said = set(re.findall(r"(?:said|asked) ([A-Z]\w+)|Hello, (\w+)|\b([A-Z]\w+) and ([A-Z]\w+)", story))
        assert {word for words in said for word in words if word} <= names
