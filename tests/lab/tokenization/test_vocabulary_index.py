"""Searching and sorting a vocabulary, against naive filters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.tokenization.token_frequencies import TokenFrequencies
from lab.tokenization.vocabulary_facts import EmbeddingDistances, VocabularyFacts
from lab.tokenization.vocabulary_index import VocabularyIndex, VocabularyQuery, parse_query
from models.tokenizers.tokenizer import Tokenizer

GPT2 = VocabularyIndex(Tokenizer.gpt2())
SMALL = VocabularyIndex(
    Tokenizer(
        "bpe",
        [*(bytes([byte]) for byte in range(256)), b"ab", b"abA", b"\xc3\xa9", b" \xc3", b"  ", b"a b"],
        {"<|endoftext|>": 262},
    )
)


def naive(index: VocabularyIndex, query: VocabularyQuery) -> list[int]:
    def lower(token: bytes) -> bytes:
        return token.decode("utf-8", "surrogateescape").lower().encode("utf-8", "surrogateescape")

    found = []
    for id in range(index.tokenizer.vocab_size):
        token = index.tokenizer.token_bytes(id)
        token = lower(token) if query.any_case else token
        if query.id is not None:
            holds = id == query.id
        else:
            holds = token.startswith(query.needle) if query.prefix else query.needle in token
        if holds:
            found.append(id)
    return found


@given(st.text("aAbB é\\n#0x^c3\x00ß", max_size=4))
def test_a_search_finds_what_a_loop_finds(text: str) -> None:
    query = parse_query(text)
    assert np.flatnonzero(SMALL.search(query)).tolist() == naive(SMALL, query)


@pytest.mark.parametrize(
    "text", ["the", "^The", "^ the", "0xe2 80", "^0xF09f", r"\n", r"\xe2\x80", "é", " ", "#464", "x" * 200, ""]
)
def test_a_search_of_gpt2_finds_what_a_loop_finds(text: str) -> None:
    query = parse_query(text)
    assert np.flatnonzero(GPT2.search(query)).tolist() == naive(GPT2, query)


def test_what_a_search_field_means() -> None:
    assert parse_query("#464") == VocabularyQuery(id=464)
    assert parse_query("#x") == VocabularyQuery(b"#x", any_case=True)
    assert parse_query("^The") == VocabularyQuery(b"The", prefix=True)
    assert parse_query("^") == VocabularyQuery(b"^", any_case=True), "a sign alone is itself"
    assert parse_query("0xE2 80") == VocabularyQuery(b"\xe2\x80")
    assert parse_query("0x123") == VocabularyQuery(b"0x123", any_case=True), "half a byte is text"
    assert parse_query(r"a\n\xff\\") == VocabularyQuery(b"a\n\xff\\", any_case=True)
    assert parse_query("\udcff") == VocabularyQuery(b"\xff", any_case=True), "a byte from a terminal"
    assert parse_query("\ud800") == VocabularyQuery(b"?", any_case=True)
    assert GPT2.search(parse_query("#999999")).sum() == 0


def test_the_orders() -> None:
    everything = SMALL.search(parse_query(""))
    counts = np.zeros(263, np.int64)
    counts[[97, 256, 3]] = [5, 9, 5]
    to_mean = np.abs(np.arange(263) - 7).astype(np.float32)
    plain = VocabularyFacts(SMALL)
    counted = VocabularyFacts(SMALL, TokenFrequencies(counts, "it"), EmbeddingDistances(1, to_mean, to_mean, None, None))
    assert plain.orders == ["id", "length"]
    assert counted.orders == ["id", "length", "frequency", "embedding"]
    assert plain.ordered(everything, "id").tolist() == list(range(263))
    assert plain.ordered(everything, "id", reverse=True)[0] == 262
    assert plain.ordered(everything, "length")[:5].tolist() == [262, 257, 261, 256, 258], "of two as long, the lower id"
    assert counted.ordered(everything, "frequency")[:4].tolist() == [256, 3, 97, 0]
    assert plain.ordered(everything, "frequency").tolist() == list(range(263))
    assert plain.ordered(everything, "embedding").tolist() == list(range(263))
    assert counted.ordered(everything, "embedding")[:4].tolist() == [7, 6, 8, 5]


def test_partial_special_and_unreachable_tokens_and_those_of_one_stem() -> None:
    assert np.flatnonzero(SMALL.special).tolist() == [262]
    assert np.flatnonzero(SMALL.partial).tolist() == [*range(128, 256), 259]
    assert np.flatnonzero(SMALL.unreachable).tolist() == [261], "the pattern splits before its space"
    assert np.flatnonzero(GPT2.special).tolist() == [50_256]
    assert GPT2.unreachable.sum() == 0
    labels = [GPT2.tokenizer.label(id) for id in GPT2.stem(GPT2.tokenizer.encode(" run")[0])]
    assert sorted(labels) == [" RUN", " Run", " run", "Run", "run"]
