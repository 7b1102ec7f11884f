"""A text that is read once: later readings are the same, and a full disk only makes them read it again."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.data.corpus import Corpus
from lab.data.text_chunks import DocumentPart, TextSpool
from lab.data.text_source import open_corpus


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
    read = corpus._read

    def counting() -> Iterator[DocumentPart]:
        counted.append(1)
        return read()

    monkeypatch.setattr(corpus, "_read", counting)
    return counted


def test_later_readings_come_from_the_spool_and_are_the_same(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(corpus._reading(None))
    counted = readings(corpus, monkeypatch)
    (tmp_path / "spool").mkdir()
    corpus.read_once(TextSpool(tmp_path / "spool"))
    next(corpus.chunks())  # a reading that does not reach the end is not kept
    size = corpus.measure()
    one, other = corpus._reading(None), corpus._reading(None)
    assert list(zip(one, other, strict=True)) == list(zip(expected, expected, strict=True))
    assert len(counted) == 2
    assert sum(len(part.text.encode()) for part in corpus._reading(None)) == size.bytes
    assert os.listdir(tmp_path / "spool") == []


def test_a_full_disk_ends_the_recording_and_not_the_reading(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(corpus._reading(None))
    counted = readings(corpus, monkeypatch)
    corpus.read_once(TextSpool(tmp_path))

    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        assert list(corpus._reading(None)) == expected
    for _ in range(3):
        assert list(corpus._reading(None)) == expected
    assert len(counted) == 2  # the second one was recorded
