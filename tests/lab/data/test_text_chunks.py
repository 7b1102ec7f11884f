import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from lab.data.corpus import Corpus
from lab.data.text_chunks import DocumentPart, TextSpool, split_into_chunks
from lab.data.text_source import open_corpus
from tests.lab.data.test_text_source import TEXTS


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    (tmp_path / "texts").mkdir()
    for number, text in enumerate(("The big dog ran.\r\n\n\n\n" * 3000, "", "größer 犬 🐕 a@b.example\n")):
        (tmp_path / "texts" / f"{number}.txt").write_bytes(text.encode())
    (tmp_path / "texts" / "line.txt").write_text("x")
    return open_corpus(str(tmp_path / "texts"), cleaning=("line-endings", "emails", "blank-lines"))


def readings(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows with every reading of the files."""
    counted: list[int] = []
    read = corpus._decoded

    def counting() -> Iterator[DocumentPart]:
        counted.append(1)
        return read()

    monkeypatch.setattr(corpus, "_decoded", counting)
    return counted


def test_later_readings_come_from_the_spool_and_are_the_same(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(corpus.document_parts())
    counted = readings(corpus, monkeypatch)
    (tmp_path / "spool").mkdir()
    corpus.read_once(TextSpool(tmp_path / "spool"))
    next(corpus.chunks())  # a reading that does not reach the end is not kept
    size = corpus.measure()
    one, other = corpus.document_parts(), corpus.document_parts()
    assert list(zip(one, other, strict=True)) == list(zip(expected, expected, strict=True))
    assert len(counted) == 2
    assert sum(len(part.text.encode()) for part in corpus.document_parts()) == size.bytes
    assert os.listdir(tmp_path / "spool") == []


def test_a_full_disk_ends_the_recording_and_not_the_reading(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(corpus.document_parts())
    counted = readings(corpus, monkeypatch)
    corpus.read_once(TextSpool(tmp_path))

    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        assert list(corpus.document_parts()) == expected
    for _ in range(3):
        assert list(corpus.document_parts()) == expected
    assert len(counted) == 2  # the second one was recorded


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


def parts(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@given(TEXTS, st.integers(1, 12), st.integers(1, 9), st.integers(1, 30), st.integers(1, 30), st.integers(12, 40))
def test_chunks_have_the_tokens_of_the_whole_however_it_arrives_and_none_is_longer_than_the_longest(
    text: str, size: int, window: int, one: int, other: int, longest: int
) -> None:
    chunks = list(split_into_chunks(parts(text, one), size, window, 10_000))
    assert "".join(chunks) == text
    assert all(len(chunk) >= size for chunk in chunks[:-1])
    assert [id for chunk in chunks for id in BYTES.encode_ordinary(chunk)] == BYTES.encode_ordinary(text)
    assert list(split_into_chunks(parts(text, other), size, window, 10_000)) == chunks
    short = list(split_into_chunks([text], size, window, longest))
    assert "".join(short) == text
    assert all(len(chunk) <= longest for chunk in short)


def test_lines_are_the_preferred_border() -> None:
    line = "The big dog ran fast. " * 20
    text = f"{line.strip()}\n{line}"
    assert next(iter(split_into_chunks([text], 400, 100))) == f"{line.strip()}\n"
