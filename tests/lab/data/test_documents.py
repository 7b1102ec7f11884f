"""A text of several documents: where they come from, the token between them, and the bytes that are counted."""

import hashlib
import io
import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.core.errors import UserError
from lab.data.corpus import Corpus, CorpusFile, Document
from lab.data.source_files import change_of_text
from lab.data.statistics.text_profile import encoding_decision
from lab.data.statistics.text_statistics import read_facts
from lab.data.text_source import joined_source, open_corpus, sources_of
from lab.data.token_file import TokenFile, count_bytes, token_dtype, token_lengths, tokenize_corpus
from lab.data.train_val_split import pieces, split_text
from lab.planning.prepare_run import prepare_run
from lab.planning.settings_form import text_problem
from lab.planning.settings_table import RunRequest
from models.tokenizers.tokenizer import Tokenizer


def corpus_of(documents: list[str], size: int = 1000) -> Corpus:
    """A corpus of these documents, read in parts of so many characters."""

    def read(text: str) -> Iterator[tuple[str, int]]:
        return ((text[at : at + size], 1) for at in range(0, len(text), size))

    files = [Document(f"{at}.txt", 1, partial(read, text)) for at, text in enumerate(documents)]
    return Corpus("text", "text", "utf-8", files)


def documents_of(corpus: Corpus) -> list[str]:
    texts: list[str] = []
    for chunk in corpus.document_chunks():
        texts += [chunk.text] if chunk.starts else [texts.pop() + chunk.text]
    return texts


DOCUMENTS = st.lists(
    st.lists(st.sampled_from(["a", "é", "犬", " ", "\n", "\n\n", "word ", "<|endoftext|>", "x" * 40]), max_size=60).map("".join),
    max_size=9,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(DOCUMENTS, st.integers(1, 300))
def test_tokens_on_disk_are_the_documents_with_one_token_between_each_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, documents: list[str], size: int
) -> None:
    monkeypatch.setattr("lab.data.train_val_split.EVALUATION_SEGMENTS", (3, 20))
    monkeypatch.setattr("lab.data.train_val_split.FINAL_SEGMENTS", (5, 30))
    texts = [document for document in documents if document]
    corpus = corpus_of(documents, size)
    split = split_text(corpus)
    assert split == split_text(corpus_of(documents)), "wherever a part ends"
    assert corpus.documents == len(texts)
    assert documents_of(corpus) == texts
    assert corpus.files == tuple(CorpusFile(f"{at}.txt", len(each.encode())) for at, each in enumerate(documents))
    tokenizer = Tokenizer.bytes_(end_of_text=len(texts) > 1)
    facts = tokenize_corpus(corpus, split, tokenizer, tmp_path / "tokens.bin")
    ids = np.fromfile(tmp_path / "tokens.bin", "<u2").tolist()
    assert [bytes(group) for border, group in groupby(ids, (256).__eq__) if not border] == [each.encode() for each in texts]
    assert ids.count(256) == max(0, len(texts) - 1)
    assert facts.tokens == len(ids) == corpus.bytes + max(0, len(texts) - 1)
    assert facts.train_bytes == split.split
    assert facts.val_bytes == corpus.bytes - split.split
    assert [*ids, 0][facts.split] != 256, "the border stays with the document that ends"
    tokens = TokenFile(tmp_path / "tokens.bin", token_dtype(tokenizer.vocab_size))
    assert count_bytes(tokens, token_lengths(tokenizer), 0, len(ids)) == corpus.bytes
    for segments, ranges in ((facts.evaluated, split.evaluated), (facts.final, split.final)):
        inside = [ids[start:stop] for start, stop in segments.tokens]
        assert [len(bytes(id for id in each if id < 256)) for each in inside] == [stop - start for start, stop in ranges]
        digest = hashlib.sha256(b"".join(bytes(255 if id == 256 else id for id in each) for each in inside))
        assert segments.sha256 == digest.hexdigest()


def test_the_checksum_of_one_document_is_that_of_its_text_and_of_several_depends_on_their_borders() -> None:
    assert corpus_of(["", "some text", ""]).sha256 == hashlib.sha256(b"some text").hexdigest()
    several = {corpus_of(list(each)).sha256 for each in (("some text",), ("some", " text"), ("some ", "text"), ("s", "ome text"))}
    assert len(several) == 4


def test_the_validation_part_begins_with_a_document_where_one_is_near() -> None:
    documents = ["x" * 4000 + "\n\n" + "y" * 5010, "z" * 988]
    assert split_text(corpus_of(documents)).split == 9012
    assert split_text(corpus_of(["".join(documents)])).split == 9000


def test_a_source_names_several_texts_one_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sources_of("a.txt\n\n-\nstories") == ["a.txt", "-", "stories"]
    assert sources_of(joined_source(["a b", "c\nd"])) == ["a b", f"file://{tmp_path}/c%0Ad"]
    Path("c\nd").write_text("two lines in a name")
    assert sources_of("c\nd") == ["c\nd"], "a path that exists wins"
    assert documents_of(open_corpus(joined_source(["c\nd", "c\nd"]))) == ["two lines in a name"]
    assert open_corpus("c\nd").source == f"file://{tmp_path}/c%0Ad"
    Path("[ab]*.txt").write_text("brackets")
    Path("a.txt").write_text("a")
    assert documents_of(open_corpus("[ab]*.txt")) == ["brackets"]
    assert documents_of(open_corpus("[ab].txt")) == ["a"]


def test_files_folders_patterns_and_standard_input_in_one_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in {"b.txt": "b\r\nb", "d/a.txt": "da", "d/b.txt": "db", "d/x.bin": "\0", "e/b.txt": "eb"}.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(content.encode())
    Path("e/wide.txt").write_bytes("犬".encode("utf-16"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"typed")))
    corpus = open_corpus("d/b.txt\nb.txt\nd\n-\ne/*.txt\npython\nb.txt")
    *texts, python = documents_of(corpus)
    assert texts == ["db", "b\nb", "da", "typed", "eb", "犬"]
    assert python == documents_of(open_corpus("python"))[0]
    assert (corpus.name, corpus.encoding, corpus.entropy_bits_per_byte) == ("b and 5 more", "auto", None)
    assert corpus.left_out == "1 binary file and 2 files that came twice"
    names = [f"{tmp_path}/d/b.txt", f"{tmp_path}/b.txt", "a.txt", "stdin", f"{tmp_path}/e/b.txt", "wide.txt", "python"]
    assert [file.name for file in corpus.files] == names
    assert sum(file.bytes for file in corpus.files) == corpus.bytes
    here = f"{tmp_path}/"
    assert corpus.source == f"{here}d/b.txt\n{here}b.txt\n{here}d\n-\n{here}e/*.txt\npython"
    again = open_corpus("b.txt\n./b.txt\nb.*")
    assert (again.name, again.source, again.left_out) == ("b", f"{here}b.txt", "2 files that came twice"), "one file, one name"
    assert encoding_decision(open_corpus("b.*"), asked=False) == "by its byte-order mark, else UTF-8", "not of 1 files"
    os.chdir("/")
    assert documents_of(open_corpus(f"{here}e/*.txt\n{here}d", "auto")) == ["eb", "犬", "da", "db"]


def test_an_error_names_the_file_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "bad.txt").write_bytes(b"hello caf\xe9 and more")
    (tmp_path / "a.txt").write_text("fine")
    (tmp_path / "picture").write_bytes(b"\x89PNG\0\0\1")
    (tmp_path / "empty").touch()
    (tmp_path / "none").mkdir()
    for source, words in {
        "d": r"d/bad\.txt is not UTF-8: byte 9 \(0xe9\) cannot be decoded; try --encoding cp1252\.",
        "a.txt\nd/bad.txt": r"d/bad\.txt is not UTF-8: byte 9 \(0xe9\) cannot be decoded; try --encoding cp1252\.",
        "a.txt\nx.txt\nd": r"^x\.txt does not exist",
        "a.txt\npicture": r"^picture is not text: it holds NUL bytes",
        "a.txt\nempty": r"empty is empty; choose",
        "a.txt\nnone": r"^none is a folder without a text file; choose",
        "a.txt\np*": r"^p\* matches no text file, only 1 binary file; choose",
        "a.txt\n*.md": r"^\*\.md matches no text file; choose",
        "\n": "No text is named",
        "a.txt\n/dev/zero": "^/dev/zero is a device",
    }.items():
        with pytest.raises(UserError, match=words) as caught:
            open_corpus(source).measure()
        assert "\n" not in str(caught.value)
    corpus = open_corpus("a.txt\nd", "latin-1")
    (tmp_path / "d" / "bad.txt").unlink()
    with pytest.raises(UserError, match=r"d/bad\.txt is gone since the text was opened; try again\."):
        corpus.measure()


PLAIN = "plain letters\n" * 30
MIXED = {
    "ascii.txt": PLAIN.encode(),
    "bom.txt": "\ufeffmarked\n".encode(),
    "cp1252.txt": "Où est le café?\n".encode("cp1252"),
    "damaged.txt": "größer und süßer, Straße\n".encode() * 9 + b"\xff",
    "utf8.txt": "größer\n".encode(),
    "wide.txt": "犬が走った\n".encode("utf-16"),
}


@pytest.mark.parametrize(
    ("encoding", "texts", "left_out"),
    [
        (None, [PLAIN, "marked\n", "größer\n", "犬が走った\n"], "cp1252.txt, damaged.txt; try the encoding cp1252"),
        ("cp1252", [PLAIN, "marked\n", "Où est le café?\n", "größer\n", "犬が走った\n"], "damaged.txt"),
        ("shift_jis", [PLAIN, "marked\n", "größer\n", "犬が走った\n"], "cp1252.txt, damaged.txt"),
    ],
)
def test_files_of_two_encodings_are_read_each_in_its_own_and_those_in_none_are_left_out_and_named(
    tmp_path: Path,
    llmlab: Any,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    encoding: str | None,
    texts: list[str],
    left_out: str,
) -> None:
    monkeypatch.setattr("lab.planning.step_time.StepTimer.measure", lambda *_, **more: 0.5)
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name, content in MIXED.items():
        (folder / name).write_bytes(content)
    corpus = open_corpus(str(folder), encoding)
    assert documents_of(corpus) == texts
    number = 1 + left_out.count(",")
    words = f"{number} file{'s' * (number > 1)} that cannot be decoded ({left_out})"
    assert corpus.left_out == words
    assert [file.bytes for file in corpus.files] == [len(text.encode()) for text in texts]
    again = open_corpus(corpus.source, corpus.encoding)
    assert again.sha256 == corpus.sha256, "also when it is opened as a run keeps it"
    options = ("--encoding", encoding) if encoding else ()
    assert f"left out: {words}" in " ".join(llmlab("data", folder, *options).out.split())
    assert json.loads(llmlab("data", folder, *options, "--json").out)["text"]["left_out"] == words
    trained = llmlab("train", folder, *options, "--preset", "nano", "--context", "4", "--no-start", "--tokenizer", "bytes")
    assert f"Left out: {words}." in trained.out
    assert "5 minutes, since no length was given; --steps" in trained.out
    remembered = open_corpus(str(folder), encoding)
    remembered.remember(corpus.measure())
    assert (remembered.left_out, remembered.files) == (corpus.left_out, corpus.files), "also unread, where its sizes were kept"


def test_one_text_that_remains_says_what_was_left_out_and_a_file_named_alone_is_read_as_asked(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("größer\n".encode())
    (tmp_path / "b.txt").write_bytes("Où est le café?\n".encode("cp1252"))
    facts = read_facts(str(tmp_path))
    assert (facts.documents, facts.left_out) == (1, "1 file that cannot be decoded (b.txt; try the encoding cp1252)")
    assert documents_of(open_corpus(str(tmp_path / "a.txt"), "cp1252")) == ["grÃ¶ÃŸer\n"]
    both = open_corpus(f"{tmp_path}/a.txt\n{tmp_path}/b.txt", "cp1252")
    assert documents_of(both) == ["größer\n", "Où est le café?\n"]


@pytest.mark.parametrize("kind", ["bytes", "bpe", "gpt2"])
def test_a_run_of_several_files(tmp_path: Path, home: Path, kind: str) -> None:
    folder = tmp_path / "tales"
    folder.mkdir()
    for at in range(4):
        (folder / f"{at}.txt").write_text(
            "".join(f"The dog {at} ran {n * n} miles, and <|endoftext|> is plain text.\n" for n in range(60))
        )
    (folder / "x.bin").write_bytes(b"\0")
    run = prepare_run(
        RunRequest(text=str(folder), preset="nano", context=16, tokenizer=kind, vocab=300 if kind == "bpe" else None)
    )  # type: ignore[arg-type]
    data, tokenizer = run.config.data, Tokenizer.load(run.tokenizer_path)
    ids = np.fromfile(run.tokens_path, "<u2").tolist()
    assert (data.name, run.name, data.documents, data.left_out) == ("tales", "tales", 4, "1 binary file")
    assert ids.count(tokenizer.end_of_text) == 3
    assert tokenizer.vocab_size == {"bytes": 257, "bpe": 300, "gpt2": 50257}[kind]
    assert tokenizer.decode(ids).replace("text.\n<|endoftext|>The", "text.\nThe") == "".join(
        documents_of(open_corpus(data.source))
    )
    created = max(path.stat().st_mtime for path in (folder, *folder.iterdir())) + 1
    for since in (0.0, created):
        assert change_of_text(data, since) == text_problem(run.config) == ""
    (folder / "0.txt").rename(tmp_path / "0.txt")
    os.utime(folder, (0, 0))
    assert "tales has changed; training continues" in change_of_text(data, created), "a file is missing, whatever the times say"
    assert "has changed since" in text_problem(run.config)
    more = data.source + "\n" + str(tmp_path / "gone.txt")
    changed = change_of_text(type(data)(**{name: getattr(data, name) for name in data.__struct_fields__} | {"source": more}), 0.0)
    assert "tales and 1 more cannot be read any more, because" in changed
    assert "gone.txt does not exist; training continues" in changed


def test_pieces_say_where_a_document_begins() -> None:
    found = list(pieces(corpus_of(["abc", "", "defg"], 2), [0, 1, 3, 5, 7]))
    assert found == [(0, b"a", True), (1, b"bc", False), (3, b"de", True), (5, b"fg", False)]
