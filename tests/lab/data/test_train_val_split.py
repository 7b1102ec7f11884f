"""Where texts are cut, looked at in the text itself, and that it is the same for every tokenizer."""

import hashlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.data.text_chunks import split_into_chunks
from lab.data.text_source import open_corpus
from lab.data.token_file import tokenize_corpus
from lab.data.train_val_split import in_ranges, pieces, split_text
from lab.planning.prepare_run import prepare_run
from lab.planning.settings_table import RunRequest
from lab.runs.run_folder import Run
from models.tokenizers.tokenizer import Tokenizer
from tests.lab.data.test_documents import corpus_of


@pytest.mark.parametrize(
    ("text", "split"),
    [
        pytest.param("x" * 9000 + "yyyy yyy\nyyyy\n\nzz" + "z" * 983, 9014, id="paragraph"),
        pytest.param("x" * 9000 + "yyyy yyy\nyyyyy\nzz" + "z" * 983, 9009, id="line"),
        pytest.param("x" * 9000 + "yyyy yyyyyyyyyyzz" + "z" * 983, 9004, id="word"),
        pytest.param("x" * 8998 + "\n\n" + "y" * 500 + "\n\n" + "z" * 498, 8999, id="paragraph at once"),
        pytest.param("犬" * 10_000, 27_000, id="character"),
        pytest.param("x" + "犬" * 10_000, 27_001, id="next character"),
        pytest.param("x" * 9000 + "y" * 900 + "\n" + "z" * 99, 9000, id="too far"),
        pytest.param("xxxxxxxxx犬", 12, id="short"),
        pytest.param("", 0, id="empty"),
    ],
)
def test_the_validation_part_begins_at_the_best_border_after_nine_tenths(text: str, split: int) -> None:
    found = split_text(corpus_of([text]))
    assert (found.bytes, found.split) == (len(text.encode()), split)
    assert found.evaluated == found.final == ((split, found.bytes),)


def few_small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.data.train_val_split.EVALUATION_SEGMENTS", (3, 40))
    monkeypatch.setattr("lab.data.train_val_split.FINAL_SEGMENTS", (5, 30))
    monkeypatch.setattr("lab.data.train_val_split.EDGE_WINDOW", 8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from(["a", "é", "犬", "🐕", " ", "\n", "\n\n", "word ", "x" * 40]), max_size=400), st.integers(1, 500))
def test_cuts_are_characters_borders_and_do_not_depend_on_how_a_text_is_read(
    monkeypatch: pytest.MonkeyPatch, words: list[str], size: int
) -> None:
    few_small_segments(monkeypatch)
    text = "".join(words)
    data = text.encode()
    found = split_text(corpus_of([text], size))
    assert found == split_text(corpus_of([text], 10**6))
    assert all(data[start:stop].decode() for start, stop in pairwise(found.cuts))
    for ranges in (found.evaluated, found.final):
        assert (ranges[0][0], ranges[-1][1]) == (found.split, len(data)), "they reach from end to end"
        assert sorted(edge for each in ranges for edge in each) == [edge for each in ranges for edge in each]
        inside = [any(start <= place < stop for start, stop in ranges) for place in range(len(data))]
        assert inside == [in_ranges(ranges, place) for place in range(len(data))]
    read = list(pieces(corpus_of([text], size), found.cuts))
    assert b"".join(piece for _, piece, _ in read) == data
    assert [at for at, *_ in read] == [0, *(at + len(piece) for at, piece, _ in read)][: len(read)]
    assert {0, *(at for at, *_ in read), len(data)} >= set(found.cuts)


MERGED = [b"  ", b" a", b"\n\n", b"\r\n", b"aa", b"    ", b"\n ", b"ab", b".\n", b"aaaa"]
NEWLINES = Tokenizer("bpe", [*(bytes([byte]) for byte in range(256)), *MERGED])
"""A small vocabulary in which a wrong cut changes the ids."""
SPACES = [" ", "  ", "\n", "\n\n", "\r\n", "\r\n\r\n", "\t", "\u3000", "\xa0", "\x1c", "    "]
PARTS = ["a", "b", ".", "'s", "é", "犬", "word ", *SPACES]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(PARTS), max_size=500), st.integers(1, 500))
def test_the_ids_of_a_file_are_those_of_the_whole_text_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], size: int
) -> None:
    few_small_segments(monkeypatch)
    monkeypatch.setattr("lab.data.corpus.split_into_chunks", lambda texts: split_into_chunks(texts, 50, 10))
    text = "ab a." + "".join(words) + "ab. a b" * 3  # a border is within reach of the split
    corpus = corpus_of([text], size).with_cleaning(())
    found = split_text(corpus)
    assert found == split_text(corpus_of([text], 10**6).with_cleaning(()))
    tokenize_corpus(corpus, found, NEWLINES, tmp_path / "ids", threads=1)
    assert np.fromfile(tmp_path / "ids", "<u2").tolist() == NEWLINES.encode(text)


REAL = {
    "paragraphs": "".join(f"Chapter {at}.\n\nIt was the {at}th day, and we'll see.\n\n\n" for at in range(2_000)),
    "windows": "".join(f"Line {at}\r\n\r\n    indented {at}\r\n" for at in range(2_000)),
    "spaces": "".join(f"{'x' * (at % 7)}{' ' * (at * 37 % 400)}\n" for at in range(800)),
    "long runs": "".join(f"a{' ' * 3_000}b{chr(10) * 3_000}" for _ in range(60)),
    "long words": "".join(f"{'a' * 3_000} {'犬' * 2_000}。" for _ in range(40)),
}


@pytest.mark.parametrize("text", REAL.values(), ids=list(REAL))
@pytest.mark.parametrize("kind", ["bpe", "gpt2"])
def test_a_run_has_the_ids_that_its_tokenizer_gives_the_whole_text(tmp_path: Path, home: Path, kind: str, text: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode())
    more = {"vocab": 400} if kind == "bpe" else {}
    run = prepare_run(RunRequest(text=str(path), preset="nano", context=8, tokenizer=kind, clean=(), name=kind, **more))
    tokenizer = Tokenizer.load(run.tokenizer_path)
    ids = np.fromfile(run.tokens_path, "<u2").tolist()
    assert ids == tokenizer.encode(text)


MIXED = (
    "".join(f"第{at}章　犬が公園を走った。猫も{at * 7 % 13}匹走った。\n" for at in range(1600))
    + "".join(f"The {at * 7 % 13} dogs of chapter {at} ran home, and the cat sat.\n\n" for at in range(2200))
    + "".join(f"Der {at * 5 % 17}. Hund lief größer als Kapitel {at} nach Hause.\n" for at in range(600))
)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    path = tmp_path / "mixed.txt"
    path.write_text(MIXED)
    return path


def run_on(text: Path, tokenizer: str, **more: object) -> Run:
    return prepare_run(RunRequest(text=str(text), preset="nano", tokenizer=tokenizer, name=tokenizer, **more))  # type: ignore[arg-type]


def test_all_tokenizers_are_trained_and_evaluated_on_the_same_bytes(
    mixed: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoded from the token ranges in config.json: whatever the tokenizer and the settings, the same bytes, and not only the
    first of the validation part."""
    monkeypatch.setattr("lab.data.train_val_split.FINAL_SEGMENTS", (16, 1 << 10))
    monkeypatch.setattr("lab.data.train_val_split.EVALUATION_SEGMENTS", (8, 1 << 9))
    data = MIXED.encode()
    seen = set()
    asked: list[tuple[str, dict[str, object]]] = [
        ("bytes", {"eval_every": 2, "batch": 4}),
        ("bpe", {"vocab": 600, "eval_every": 1000, "context": 48}),
        ("gpt2", {}),
    ]
    for kind, more in asked:
        run = run_on(mixed, kind, **more)
        tokenizer = Tokenizer.load(run.tokenizer_path)
        ids = np.fromfile(run.tokens_path, "<u2").tolist()
        config = run.config.data
        train, rest = tokenizer.decode_bytes(ids[: config.split]), tokenizer.decode_bytes(ids[config.split :])
        assert train + rest == data
        assert (config.train_bytes, config.val_bytes) == (len(train), len(rest))
        parts = []
        for segments in (config.evaluated, config.final):
            assert segments is not None
            decoded = b"".join(tokenizer.decode_bytes(ids[start:stop]) for start, stop in segments.tokens)
            assert (len(decoded), hashlib.sha256(decoded).hexdigest()) == (segments.bytes, segments.sha256)
            parts.append(decoded)
        seen.add((train, *parts))
    assert len(seen) == 1
    (train, evaluated, final) = seen.pop()
    assert 0.899 < len(train) / len(data) < 0.911
    assert data[len(train) - 1 :][:1] == b"\n"
    assert 4096 <= len(evaluated) < 4096 + 8 * 128
    assert len(evaluated) < len(final) < len(data) - len(train)


def test_bpe_learns_from_exactly_the_training_part(mixed: Path, home: Path) -> None:
    """Nine tenths of the characters would be other bytes than nine tenths of the tokens: two thirds of the bytes are CJK."""
    run = run_on(mixed, "bpe", vocab=600)
    train = MIXED.encode()[: run.config.data.train_bytes].decode()
    learned, expected = Tokenizer.load(run.tokenizer_path), Tokenizer.train([train], 600)
    assert [learned.token_bytes(id) for id in range(600)] == [expected.token_bytes(id) for id in range(600)]
    more = Tokenizer.train([MIXED], 600)
    assert [learned.token_bytes(id) for id in range(600)] != [more.token_bytes(id) for id in range(600)]


def test_one_long_text_is_read_as_a_whole_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    line = "The big dog ran over the hill and the cat sat on the wet mat.\n"
    path.write_text(line * 200_000)
    found = split_text(open_corpus(str(path)))
    for ranges, count, size in ((found.evaluated, 32, 1 << 10), (found.final, 128, 1 << 13)):
        assert len(ranges) == count
        assert all(start % len(line) == 0 and abs(stop - start - size) <= len(line) for start, stop in ranges[1:-1])
        gaps = [after - before for (before, _), (after, _) in pairwise(ranges)]
        assert max(gaps) - min(gaps) <= 2 * len(line), "evenly"
