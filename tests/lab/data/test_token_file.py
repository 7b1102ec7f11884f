import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lab.core.errors import UserError
from lab.data.corpus import Corpus, Document
from lab.data.text_source import open_corpus
from lab.data.token_file import TokenFile, count_bytes, token_dtype, token_lengths, tokenize_corpus
from lab.data.train_val_split import Split, pieces, split_text
from models.tokenizers.tokenizer import Tokenizer
from tests.fixture_types import MakeTokens


def text(path: Path, content: str) -> Corpus:
    path.write_bytes(content.encode())
    return open_corpus(str(path))


@pytest.mark.parametrize("kind", ["bytes", "bpe", "gpt2"])
def test_batches_on_several_threads_change_no_id(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of very different length, so that threads finish out of order, and few bytes in memory, so that reading waits."""
    (tmp_path / "texts").mkdir()
    for number, lines in enumerate((1, 1000, 0, 2, 2250, 1, 1, 750)):
        (tmp_path / "texts" / f"{number}.txt").write_text("The big dog <|endoftext|> ran — größer, 犬が走った 🐕.\n" * lines)
    corpus = open_corpus(str(tmp_path / "texts"))
    split = split_text(corpus)
    path = tmp_path / "tokens.bin"
    tokenizer = {
        "bytes": lambda: Tokenizer.bytes_(end_of_text=True),
        "gpt2": Tokenizer.gpt2,
        "bpe": lambda: Tokenizer.train(corpus.chunks(), 300, end_of_text=True),
    }[kind]()
    expected: list[int] = []
    for offset, piece, starts in pieces(corpus, split.cuts):
        expected += [tokenizer.end_of_text] if starts and offset else []  # type: ignore[list-item]
        expected += tokenizer.encode(piece.decode())
    monkeypatch.setattr("lab.data.token_file.MOST_BYTES_IN_MEMORY", 75_000)
    written = []
    for batch_bytes, threads in ((1 << 16, 4), (1, 3), (1 << 30, 1)):
        monkeypatch.setattr("lab.data.token_file.BATCH_BYTES", batch_bytes)
        seen: list[tuple[int, int]] = []
        told = lambda done, total, seen=seen: seen.append((done, total))  # noqa: E731
        written.append(tokenize_corpus(corpus, split, tokenizer, path, told, threads=threads))
        assert TokenFile(path, token_dtype(tokenizer.vocab_size))[:].tolist() == expected
        assert written[-1].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert seen == sorted(seen)
        assert seen[-1] == (corpus.bytes, corpus.bytes)
    assert written[0] == written[1] == written[2]
    assert written[0].tokens == len(expected)


def test_bytes_are_counted_over_any_range(make_tokens: MakeTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.data.token_file.COUNTED_TOKENS", 7)
    lengths = np.arange(5000) % 11
    for start, stop in ((0, 0), (0, 100), (13, 14), (13, 77)):
        assert count_bytes(make_tokens(5000), lengths, start, stop) == lengths[start:stop].sum()


def test_lengths_of_tokens() -> None:
    gpt2 = Tokenizer.gpt2()
    lengths = token_lengths(gpt2)
    assert lengths.shape == (50257,)
    assert [int(lengths[id]) for id in (464, 1263, 50256)] == [3, 4, 0]


@pytest.mark.parametrize("end", ["The big dog ran.\nIt ran home.\n", "The big cat ran.\n"], ids=["longer", "as long"])
def test_a_text_that_changes_meanwhile_is_an_error(tmp_path: Path, end: str) -> None:
    corpus = text(tmp_path / "text", "The big dog ran.\n" * 9)
    split = split_text(corpus)
    (tmp_path / "text").write_text("The big dog ran.\n" * 8 + end)
    with pytest.raises(UserError, match="changed"):
        tokenize_corpus(corpus, split, Tokenizer.bytes_(), tmp_path / "tokens.bin")


def test_an_error_further_on_in_the_text_is_passed_on(tmp_path: Path) -> None:
    def read() -> Iterator[tuple[str, int]]:
        yield "The big dog ran.\n" * 20_000, 1
        raise UserError("the text is damaged.")

    corpus = Corpus("bad", "bad", "utf-8", [Document("bad", 10, read)])
    with pytest.raises(UserError, match="damaged"):
        tokenize_corpus(corpus, Split(9, 8, ((8, 9),), ((8, 9),)), Tokenizer.bytes_(), tmp_path / "tokens.bin")


def test_a_token_file_has_two_bytes_a_token_or_four_and_a_damaged_or_missing_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "tokens.bin"
    assert [token_dtype(size) for size in (65536, 65537)] == ["<u2", "<u4"]
    path.write_bytes(b"\x01\x00\x02\x00")
    assert TokenFile(path, token_dtype(100_000))[0] == 0x20001
    path.write_bytes(b"")
    assert len(TokenFile(path, token_dtype(256))) == 0
    path.write_bytes(b"abc")
    with pytest.raises(UserError, match="damaged"):
        TokenFile(path, token_dtype(256))
    path.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        TokenFile(path, token_dtype(256))
