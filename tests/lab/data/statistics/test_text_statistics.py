import os
from pathlib import Path

import pytest

from lab.core.errors import UserError
from lab.data.source_files import file_size
from lab.data.statistics.text_profile import read_profile
from lab.data.statistics.text_statistics import SAMPLE_CHARACTERS, CountRequest, count_tokens, read_facts
from lab.data.text_source import open_corpus
from lab.data.token_file import tokenize_corpus
from lab.data.train_val_split import split_text
from lab.planning.prepare_text import train_tokenizer
from models.tokenizers.tokenizer import Tokenizer

LINE = "The big dog ran fast. Zoë sat.\n"


def write(path: Path, contents: bytes) -> str:
    path.write_bytes(contents)
    return str(path)


@pytest.mark.parametrize(
    ("contents", "encoding", "cleaning"),
    [
        ((LINE * 3).encode(), None, "nothing to clean: UTF-8, lines end in \\n"),
        (b"\xef\xbb\xbf" + (LINE * 3).encode(), None, "byte-order mark dropped"),
        ((LINE * 3).replace("\n", "\r\n").encode(), None, "3 line ends \\r\\n made \\n"),
        (("\ufeff" + LINE * 3).replace("\n", "\r\n").encode(), None, "byte-order mark dropped and 3 line ends \\r\\n made \\n"),
        ((LINE * 3).replace("\n", "\r").encode(), None, "line ends \\r made \\n"),
        ((LINE * 3).encode("utf-16"), None, "decoded from utf-16 (188 B) into UTF-8 (96 B), lines end in \\n"),
        ((LINE * 3).encode("cp1252"), "cp1252", "decoded from cp1252 (93 B) into UTF-8 (96 B), lines end in \\n"),
    ],
)
def test_what_cleaning_did_is_told(tmp_path: Path, contents: bytes, encoding: str | None, cleaning: str) -> None:
    facts = read_facts(write(tmp_path / "a.txt", contents), encoding)
    assert facts.preview == LINE * 3
    assert (facts.bytes, facts.characters) == (len((LINE * 3).encode()), len(LINE * 3))
    assert facts.cleaning == cleaning


def test_a_file_that_has_changed_is_read_anew(tmp_path: Path) -> None:
    source = write(tmp_path / "a.txt", b"one two three\n")
    assert read_facts(source).bytes == 14
    write(tmp_path / "a.txt", b"one two three four\n")
    os.utime(source, ns=(1, 1))
    assert read_facts(source).bytes == 19


def test_a_short_text_is_counted_exactly_and_a_long_one_estimated_from_its_beginning(tmp_path: Path) -> None:
    text = LINE * 200
    source = write(tmp_path / "a.txt", text.encode())
    assert count_tokens(CountRequest(source, None, "bytes", 256)).tokens == len(text.encode())
    counted = count_tokens(CountRequest(source, None, "bpe", 300))
    assert counted.tokens == len(Tokenizer.train([text], 300).encode(text))
    assert counted.exact
    assert count_tokens(CountRequest(source, None, "gpt2", 50257)).tokens == len(Tokenizer.gpt2().encode(text))
    lines = 2 * SAMPLE_CHARACTERS // len(LINE)
    counted = count_tokens(CountRequest(write(tmp_path / "long.txt", (LINE * lines).encode()), None, "bpe", 300))
    assert not counted.exact
    assert counted.tokens == pytest.approx(lines * len(Tokenizer.train([text], 300).encode(LINE)), rel=0.01)


def test_what_can_be_read_only_once_or_not_at_all_is_refused_in_one_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    unreadable = {"a\0b": "NUL", "x" * 5000: "too long", "~nobody-here/x": "does not exist"}
    sources = dict.fromkeys(("-", str(tmp_path / "pipe")), "only once") | unreadable
    for source, words in sources.items():
        for read in (read_facts, lambda source: next(read_profile(source, None, lambda _: False))):
            with pytest.raises(UserError, match=words) as caught:
                read(source)
            assert "\n" not in str(caught.value)


def test_several_files_are_counted_as_a_run_counts_them(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The dog ran.\n" * 40)
    (tmp_path / "b.txt").write_text("A cat sat.\n" * 40)
    (tmp_path / "c.bin").write_bytes(b"\0\1\2" * 100)
    facts = read_facts(str(tmp_path))
    assert (facts.documents, facts.bytes) == (2, 40 * 13 + 40 * 11)
    assert facts.left_out == "1 binary file"
    assert file_size(str(tmp_path)) == facts.bytes
    corpus = open_corpus(str(tmp_path))
    split = split_text(corpus)
    tokenizer = train_tokenizer("bpe", 300, corpus, split, lambda _: None)
    written = tokenize_corpus(corpus, split, tokenizer, tmp_path / "tokens.out")
    count = count_tokens(CountRequest(f"{tmp_path}/*.txt", None, "bpe", 300))
    assert (count.tokens, count.vocab_size, count.exact) == (written.tokens, tokenizer.vocab_size, True)
