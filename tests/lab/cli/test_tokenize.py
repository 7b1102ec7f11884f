"""`llmlab tokenize`: several tokenizers, special tokens, compression, and the list of a vocabulary."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import click
import pytest

from models.tokenizers.tokenizer import Tokenizer
from tests.fixture_types import Call

LLMLAB = Path(sys.executable).with_name("llmlab")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "naive.txt"
    path.write_text("The big dog ran naïvely 🙂.\n" * 30)
    return path


def test_several_tokenizers_side_by_side(llmlab: Call) -> None:
    lines = llmlab("tokenize", "--tokenizer", "gpt2,bytes,demo", "The big naïve 🙂").out.splitlines()
    assert lines[0].split() == ["gpt2", "bytes", "demo"]
    assert lines[1].split() == ["The", "T│h│e", "T│he"]
    assert lines[2].split() == ["big", "␣│b│i│g", "big"]
    assert lines[4].split() == ["🙂", "␣│\\xf0│\\x9f│\\x99│\\x82", "␣│\\xf0│\\x9f│\\x99│\\x82"]
    assert [line.split() for line in lines[7:9]] == [
        ["gpt2", "50,257", "4", "4.75", "3.75"],
        ["bytes", "256", "19", "1.00", "0.79"],
    ]


def test_each_row_of_several_holds_the_same_bytes(llmlab: Call, text: Path) -> None:
    found = json.loads(llmlab("tokenize", "--tokenizer", "gpt2,bytes,demo", "--file", text, "--json").out)["tokenizers"]
    raw = text.read_bytes()
    for each in found:
        assert b"".join(bytes.fromhex(token["bytes"]) for token in each["tokens"]) == raw
        assert (each["text_bytes"], each["token_count"]) == (len(raw), len(each["tokens"]))
        assert each["bytes_per_token"] == len(raw) / len(each["tokens"])
        assert each["characters"] == len(raw.decode())
    assert [token["id"] for token in found[0]["tokens"]] == Tokenizer.gpt2().encode(raw.decode())
    counts = json.loads(llmlab("tokenize", "--tokenizer", "bytes", "--file", text, "--json", "--counts").out)
    assert "tokens" not in counts
    assert counts["token_count"] == len(raw)
    rows = llmlab("tokenize", "--tokenizer", "gpt2,bytes", "--file", text).out.splitlines()
    assert sum(row.split()[:1] == ["big"] for row in rows) == 30


def test_special_tokens_are_plain_text_unless_asked(llmlab: Call) -> None:
    plain = llmlab("tokenize", "a<|endoftext|>").out
    assert "8 tokens, 14 bytes" in plain
    assert 'gpt2: "<|endoftext|>" is read as plain text' in plain
    special = llmlab("tokenize", "--special", "a<|endoftext|>").out
    assert "50256  special" in special
    assert "2 tokens, 14 bytes" in special
    found = json.loads(llmlab("tokenize", "--special", "a<|endoftext|>", "--json").out)
    assert [token["id"] for token in found["tokens"]] == [64, 50256]
    assert found["special"]
    assert "special token 50256" in found["note"]


def test_documents_have_an_end_of_text_token_between_them(llmlab: Call, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.txt").write_text("the dog")
    found = json.loads(llmlab("tokenize", "--file", folder, "--tokenizer", "gpt2,bytes", "--json").out)["tokenizers"]
    assert [token["id"] for token in found[0]["tokens"]] == [1169, 3290, 50256, 1169, 3290]
    assert (found[0]["token_count"], found[0]["text_bytes"]) == (5, 14)
    assert found[1]["token_count"] == 14, "bytes of one document have no such token"
    rows = [line.split() for line in llmlab("tokenize", "--file", folder, "--tokenizer", "gpt2,bytes").out.splitlines()]
    assert rows[1:6] == [
        ["the", "t│h│e"],
        ["dog", "␣│d│o│g"],
        ["<|endoftext|>"],
        ["the", "t│h│e"],
        ["dog", "␣│d│o│g"],
    ]


def test_the_vocabulary_of_a_run(llmlab: Call) -> None:
    found = json.loads(llmlab("tokenize", "--tokenizer", "demo", "--vocabulary", "--sort", "frequency", "--json").out)
    assert (found["corpus"], found["corpus_tokens"], found["never_used"]) == ("the training part of demo", 673_201, 535)
    tokens = found["tokens"]
    assert [token["count"] for token in tokens] == sorted((token["count"] for token in tokens), reverse=True)
    assert sum(token["count"] for token in tokens) == 673_201
    the = next(token for token in tokens if token["label"] == " the")
    assert (the["id"], the["merge_rank"], the["merge_of"]) == (259, 3, [257, 256])
    assert 2 < the["embedding_distance_to_mean"] < 3
    lines = llmlab("tokenize", "--tokenizer", "demo", "--vocabulary", "--search", "og", "--only", "never-used").out.splitlines()
    assert [line.split()[:2] for line in lines[1:2]] == [["336", "0"]]
    assert lines[3].startswith("1 of 746 tokens found. 535 of 746 tokens never occur in the training part of demo")


def test_the_vocabulary_counted_in_a_text(llmlab: Call, text: Path) -> None:
    found = json.loads(llmlab("tokenize", "--vocabulary", "--file", text, "--sort", "frequency", "--limit", "9", "--json").out)
    expected = Counter(Tokenizer.gpt2().encode(text.read_text()))
    assert found["never_used"] == 50_257 - len(expected)
    assert [(token["id"], token["count"]) for token in found["tokens"]] == sorted(
        expected.items(), key=lambda each: (-each[1], each[0])
    )[:9]
    lines = llmlab("tokenize", "--vocabulary", "--search", "^ SolidGold").out.splitlines()
    assert lines[1].startswith("43453  20 53 6f 6c 69 64 47 6f 6c 64 4d")
    assert lines[1].endswith('" SolidGoldMagikarp" = " Solid" + "GoldMagikarp"')


def test_mistakes(llmlab: Call, home: Path) -> None:
    llmlab("tokenize", "--vocabulary", "--sort", "frequency").assert_mistake("Counts need a text")
    llmlab("tokenize", "--vocabulary", "--sort", "embedding").assert_mistake("Embeddings need a model")
    llmlab("tokenize", "a", "--search", "#x").assert_mistake("llmlab: --search is for --vocabulary.")
    llmlab("tokenize", "a", "--sort", "id", "--limit", "3").assert_mistake("llmlab: --sort and --limit are for --vocabulary.")
    llmlab("tokenize", "--vocabulary", "--tokenizer", "gpt2,bytes").assert_mistake("one tokenizer")
    llmlab("tokenize", "a", "--tokenizer", ",").assert_mistake("names none")
    llmlab("tokenize", "a", "--tokenizer", "gpt2,nosuch").assert_mistake("no run called 'nosuch'")
    assert llmlab("tokenize", "", "--tokenizer", "gpt2,bytes").code == 0


@pytest.mark.parametrize("options", [["--json"], ["--vocabulary"]])
def test_a_reader_that_has_enough_ends_it_quietly(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("The big dog ran.\n" * 5_000)
    command = subprocess.Popen(
        [LLMLAB, "tokenize", "--file", path, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert command.stdout is not None
    assert command.stderr is not None
    command.stdout.readline()
    command.stdout.close()
    assert command.stderr.read() == ""
    command.wait()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"one\r\ntwo\rthree\n\n", ""),
        (b"\xef\xbb\xbfmarked\r\n", "llmlab: text: a byte-order mark is dropped (3 bytes).\n"),
        ("wide\r\n".encode("utf-16"), "llmlab: text: decoded from utf-16 (14 B) into UTF-8 (6 B).\n"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--json",), ("--vocabulary",)])
def test_the_ids_of_a_file_are_those_of_its_bytes_or_it_says_so(
    llmlab: Call, tmp_path: Path, content: bytes, said: str, options: tuple[str, ...]
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    done = llmlab("tokenize", "--tokenizer", "bytes", "--file", path, *options)
    assert (done.code, done.err) == (0, said)
    if options == ("--json",):
        ids = bytes(token["id"] for token in json.loads(done.out)["tokens"])
        assert ids == (content if not said else content.decode("utf-16" if b"w\0" in content else "utf-8-sig").encode())


@pytest.mark.parametrize("options", [("--file",), ("--learn",)])
def test_waiting_for_a_named_pipe_is_said(
    llmlab: Call, tmp_path: Path, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, said, echo = tmp_path / "pipe", f"llmlab: {tmp_path}/pipe is a named pipe; waiting for a program to write", click.echo
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("the dog ran and the dog sat",), daemon=True)

    def echo_then_write(words: str, **more: bool) -> None:
        echo(words, **more)
        if words.startswith(said):
            writer.start()

    monkeypatch.setattr("lab.data.text_source.PIPE_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(click, "echo", echo_then_write)
    done = llmlab("tokenize", "--tokenizer", "bytes", *options, pipe)
    writer.join()
    assert done.code == 0
    assert done.err.startswith(f"{said} to it.")


@pytest.mark.parametrize("query", ["0xzz", "0x123", "^0xe", "0xe2 8", "0X0g"])
def test_a_search_for_bytes_that_are_none_is_a_mistake(llmlab: Call, query: str) -> None:
    llmlab("tokenize", "--vocabulary", "--tokenizer", "bytes", "--search", query).assert_mistake("is not bytes in hexadecimal")


@pytest.mark.parametrize(
    ("query", "found"), [("0x41", "1 of 256"), ("0x", "0 of 256"), (r"\x30xzz", "0 of 256"), ("#zz", "0 of 256")]
)
def test_other_searches_are_none(llmlab: Call, query: str, found: str) -> None:
    assert f"{found} tokens found" in llmlab("tokenize", "--vocabulary", "--tokenizer", "bytes", "--search", query).out
