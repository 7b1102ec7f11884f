"""Mistakes that a user makes with `llmlab train`: each is one clear sentence, and nothing is left behind."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixture_types import Call

PROSE = "The big dog ran fast. A small cat sat still, and it was warm. " * 50


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(PROSE)
    return path


@pytest.fixture
def mistake(llmlab: Call, home: Path) -> Callable[..., None]:
    """Calls `llmlab train` and holds it to one sentence with the given words, and to an empty home."""

    def check(*arguments: str | Path, words: tuple[str, ...]) -> None:
        llmlab("train", *arguments, "--quiet", "--steps", "1").assert_mistake(*words)
        assert list(home.iterdir()) == []

    return check


Mistake = Callable[..., None]


def test_missing_file(mistake: Mistake, tmp_path: Path) -> None:
    mistake(tmp_path / "none.txt", words=("none.txt", "does not exist"))


def test_directory(mistake: Mistake, tmp_path: Path) -> None:
    mistake(tmp_path, words=(str(tmp_path), "is a folder"))


def test_empty_file(mistake: Mistake, text: Path) -> None:
    text.write_bytes(b"")
    mistake(text, words=("text.txt", "is empty"))


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe", "gpt2"])
def test_ten_bytes(mistake: Mistake, text: Path, tokenizer: str) -> None:
    text.write_bytes(b"0123456789")
    mistake(text, "--tokenizer", tokenizer, words=("too short", "longer text"))


def test_binary(mistake: Mistake, text: Path) -> None:
    text.write_bytes(bytes(range(256)) * 100)
    mistake(text, words=("text.txt", "not text", "NUL"))


def test_wrong_encoding(mistake: Mistake, text: Path) -> None:
    text.write_bytes("Der große Hund läuft schnell über die Straße. ".encode("cp1252") * 100)
    mistake(text, words=("not UTF-8", "byte 7", "--encoding cp1252"))
    mistake(text, "--encoding", "ascii", words=("not ascii", "--encoding"))
    mistake(text, "--encoding", "klingon", words=("'klingon'", "not a text encoding"))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(mistake: Mistake, text: Path) -> None:
    text.chmod(0)
    mistake(text, words=("text.txt", "may not be read"))


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
def test_a_file_name_that_is_no_utf8_is_trained_on_and_opened_again(llmlab: Call, home: Path, tmp_path: Path) -> None:
    from lab.data.statistics.text_statistics import read_facts
    from lab.data.text_provenance import change_of_text
    from lab.planning.clone_settings import text_problem
    from lab.planning.prepare_run import prepare_run
    from lab.planning.run_request import RunRequest

    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")
    Path(path).write_text(PROSE)
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


def test_encodings_that_give_other_errors_than_undecodable_bytes(mistake: Mistake, text: Path) -> None:
    text.write_bytes("Straße → ".encode() * 50)
    mistake(text, "--encoding", "utf-16", words=("text.txt is not utf-16", "leave --encoding out"))
    for encoding in ("utf-32", "utf-7"):
        mistake(text, "--encoding", encoding, words=("text.txt is not",))
    for encoding in ("", "rot13", "hex", "undefined", "idna", "IDNA", "punycode", "charmap", "\udce9", "n" * 9000, "../.."):
        mistake(text, "--encoding", encoding, words=("is not a text encoding",))


def test_width_not_divisible_by_heads(mistake: Mistake, text: Path) -> None:
    mistake(text, "--width", "130", "--heads", "4", words=("width 130", "4 heads", "132"))


def test_context_longer_than_the_text(mistake: Mistake, text: Path) -> None:
    mistake(text, "--tokenizer", "bytes", "--context", "2000", words=("too short for a context of 2000", "3,100 tokens"))


def test_cuda_without_one(mistake: Mistake, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    mistake(text, "--device", "cuda", words=("cuda",))
    mistake(text, "--device", "toaster", words=("toaster",))


def test_dropout_and_vocabulary_out_of_range(mistake: Mistake, text: Path) -> None:
    mistake(text, "--dropout", "1", words=("dropout",))
    mistake(text, "--vocab", "100", words=("256", "100 is too small"))
    mistake(text, "--tokenizer", "bytes", "--vocab", "300", words=("256 tokens", "300"))


def test_names(mistake: Mistake, text: Path) -> None:
    mistake(text, "--name", "a/b", words=("'a/b'", "cannot be a run's name"))
    mistake(text, "--name", "demo", words=("demo", "choose another name"))


def test_a_name_that_is_taken(llmlab: Call, empty_run: Any, text: Path) -> None:
    run = empty_run("tale")
    before = sorted(path.name for path in run.path.parent.rglob("*"))
    llmlab("train", text, "--name", "tale").assert_mistake("tale already", "another name")
    assert sorted(path.name for path in run.path.parent.rglob("*")) == before


def test_a_home_that_cannot_be_written(llmlab: Call, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LLMLAB_HOME", str(tmp_path / "file" / "home"))
    llmlab("train", text, "--tokenizer", "bytes", "--steps", "1").assert_mistake("file")


@pytest.mark.parametrize("command", ["resume", "stop", "pause", "generate"])
def test_unknown_run(llmlab: Call, empty_run: Any, command: str) -> None:
    empty_run("tinyshakespeare")
    llmlab(command, "tinyshakespear").assert_mistake("no run called 'tinyshakespear'", "did you mean tinyshakespeare")


@pytest.mark.parametrize("name", ["n" * 9000, "n" * 300, "a/" * 4000, "~nobody/x", "a\0b", "\udce9", "", "."])
@pytest.mark.parametrize("command", ["resume", "stop", "pause", "delete", "generate", "params"])
def test_names_that_no_run_can_have(llmlab: Call, home: Path, command: str, name: str) -> None:
    done = llmlab(command, name)
    done.assert_mistake()
    assert len(done.err) < 400
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("command", ["stop", "pause"])
def test_commands_for_a_run_that_does_not_train(llmlab: Call, empty_run: Any, command: str) -> None:
    run = empty_run("tale")
    llmlab(command, "tale").assert_mistake("not training now", command)
    assert [path.name for path in run.path.iterdir()] == ["config.json"]
