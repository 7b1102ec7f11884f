import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from lab.data.text_chunks import split_into_chunks

GPT2_PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
"""The pattern as it stands in GPT-2's released encoder.py."""
BYTES = tiktoken.Encoding(
    "pieces",
    pat_str=GPT2_PATTERN,
    mergeable_ranks={bytes([byte]): byte for byte in range(256)}
    | {
        token: 256 + rank
        for rank, token in enumerate(
            (b"  ", b" a", b"\n\n", b"\n ", b"aa", b" \n", b"'s", b"..", b"a.", b"\n\n\n", b" \x1c", b".\x1c")
        )
    },
    special_tokens={},
)
"""A small vocabulary in which a wrong split changes the ids."""
TEXTS = st.one_of(
    st.text(alphabet=" \n\t\r\x0b\x1c\x85\xa0\u2028\u3000ab's.,。²٣犬é\u0301—", max_size=120),
    st.text(max_size=60),
    st.lists(st.sampled_from(["\n\n", " ", "\n", "aa", ".", "'s", "a.", "  ", "\t", "\x1c"]), max_size=60).map("".join),
)


def parts(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@given(TEXTS, st.integers(1, 12), st.integers(1, 9), st.integers(1, 30))
def test_tokens_of_the_chunks_are_tokens_of_the_whole(text: str, size: int, window: int, step: int) -> None:
    chunks = list(split_into_chunks(parts(text, step), size, window, 10_000))
    assert "".join(chunks) == text
    assert all(len(chunk) >= size for chunk in chunks[:-1])
    assert [id for chunk in chunks for id in BYTES.encode_ordinary(chunk)] == BYTES.encode_ordinary(text)


@given(TEXTS, st.integers(1, 12), st.integers(1, 9), st.integers(1, 30), st.integers(1, 30))
def test_borders_do_not_depend_on_how_the_text_arrives(text: str, size: int, window: int, one: int, other: int) -> None:
    assert list(split_into_chunks(parts(text, one), size, window)) == list(split_into_chunks(parts(text, other), size, window))


@pytest.mark.parametrize("text", ["a" * 3000, "犬" * 3000, " " * 3000, "." * 3000, "\n" * 3000])
def test_a_text_with_no_border_is_split_at_the_longest(text: str) -> None:
    chunks = list(split_into_chunks(parts(text, 7), 100, 10, 1000))
    assert "".join(chunks) == text
    assert max(map(len, chunks)) <= 1000


@given(TEXTS, st.integers(1, 12), st.integers(1, 9), st.integers(12, 40))
def test_no_chunk_is_longer_than_the_longest(text: str, size: int, window: int, longest: int) -> None:
    chunks = list(split_into_chunks([text], size, window, longest))
    assert "".join(chunks) == text
    assert all(len(chunk) <= longest for chunk in chunks)


def test_lines_are_the_preferred_border() -> None:
    line = "The big dog ran fast. " * 20
    text = f"{line.strip()}\n{line}"
    assert next(iter(split_into_chunks([text], 400, 100))) == f"{line.strip()}\n"
