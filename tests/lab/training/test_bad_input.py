"""Mistakes that a user makes with `llmlab train`: each is one clear sentence, and nothing is left behind."""

import os
import sys
from pathlib import Path

import pytest

from tests.fixture_types import Call

PROSE = b"The big dog ran fast. A small cat sat still, and it was warm. " * 50


GERMAN = "Der große Hund läuft schnell über die Straße. ".encode("cp1252") * 100
SIGNS = "Straße → ".encode() * 50
NO_ENCODINGS = ("", "rot13", "hex", "undefined", "idna", "IDNA", "punycode", "charmap", "\udce9", "n" * 9000, "../..")

MISTAKES: list[tuple[bytes, tuple[str, ...], tuple[str, ...]]] = [
    (b"", (), ("text.txt", "is empty")),
    *((b"0123456789", ("--tokenizer", each), ("too short", "longer text")) for each in ("bytes", "bpe", "gpt2")),
    (bytes(range(256)) * 100, (), ("text.txt", "not text", "NUL")),
    (GERMAN, (), ("not UTF-8", "byte 7", "--encoding cp1252")),
    (GERMAN, ("--encoding", "ascii"), ("not ascii", "--encoding")),
    (GERMAN, ("--encoding", "klingon"), ("'klingon'", "not a text encoding")),
    (SIGNS, ("--encoding", "utf-16"), ("text.txt is not utf-16", "leave --encoding out")),
    *((SIGNS, ("--encoding", each), ("text.txt is not",)) for each in ("utf-32", "utf-7")),
    *((SIGNS, ("--encoding", each), ("is not a text encoding",)) for each in NO_ENCODINGS),
    (PROSE, ("--width", "130", "--heads", "4"), ("width 130", "4 heads", "132")),
    (PROSE, ("--tokenizer", "bytes", "--context", "2000"), ("too short for a context of 2000", "3,100 tokens")),
    (PROSE, ("--device", "cuda"), ("cuda",)),
    (PROSE, ("--device", "toaster"), ("toaster",)),
    (PROSE, ("--dropout", "1"), ("dropout",)),
    (PROSE, ("--vocab", "100"), ("256", "100 is too small")),
    (PROSE, ("--tokenizer", "bytes", "--vocab", "300"), ("256 tokens", "300")),
    (PROSE, ("--name", "a/b"), ("'a/b'", "cannot be a run's name")),
    (PROSE, ("--name", "demo"), ("demo", "choose another name")),
]
"""What the text holds, options, and words of the sentence."""


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_bytes(PROSE)
    return path


@pytest.mark.parametrize(("content", "options", "words"), MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    content: bytes,
    options: tuple[str, ...],
    words: tuple[str, ...],
    llmlab: Call,
    home: Path,
    text: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    text.write_bytes(content)
    llmlab("train", text, *options, "--quiet", "--steps", "1").assert_mistake(*words)
    assert list(home.iterdir()) == []


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
def test_a_file_name_that_is_no_utf8_is_trained_on_and_opened_again(llmlab: Call, home: Path, tmp_path: Path) -> None:
    from lab.data.source_files import change_of_text
    from lab.data.statistics.text_statistics import read_facts
    from lab.planning.prepare_run import prepare_run
    from lab.planning.settings_form import text_problem
    from lab.planning.settings_table import RunRequest

    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")
    Path(path).write_bytes(PROSE)
    run = prepare_run(RunRequest(text=path, preset="nano", tokenizer="bytes"))
    config = run.config
    assert (run.name, config.data.name, config.data.bytes) == ("caf", "caf-", len(PROSE))
    assert config.data.source == f"file://{tmp_path}/caf%E9.txt"
    assert text_problem(config) == ""
    assert read_facts(config.data.source, None).bytes == len(PROSE)
    assert change_of_text(config.data, 0.0) == ""
    assert llmlab("tokenize", "--tokenizer", "bytes", "--file", path).code == 0
    Path(path).unlink()
    assert "is gone" in change_of_text(config.data, 0.0)
    llmlab("tokenize", "--file", path).assert_mistake("caf", "does not exist")
