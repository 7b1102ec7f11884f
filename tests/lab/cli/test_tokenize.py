"""`llmlab tokenize`: tokenizers side by side, special tokens, the list of a vocabulary, and merges as they are learned."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import click
import pytest

from lab.data.text_source import open_corpus
from lab.data.train_val_split import split_text, training_text
from models.tokenizers.tokenizer import Tokenizer
from tests.fixture_types import Call

LLMLAB = Path(sys.executable).with_name("llmlab")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "naive.txt"
    path.write_text("The big dog ran naïvely 🙂.\n" * 30)
    return path


def test_table(llmlab: Call) -> None:
    lines = llmlab("tokenize", "The big dog ran").out.splitlines()
    assert [line.split(maxsplit=1)[0] for line in lines[1:5]] == ["464", "1263", "3290", "4966"]
    assert lines[2].split() == ["1263", "1008", "20", "62", "69", "67", "big"]
    assert lines[-1].startswith("4 tokens, 15 bytes")


def test_json(llmlab: Call) -> None:
    found = json.loads(llmlab("tokenize", "--tokenizer", "bytes", "é", "--json").out)
    tokens = found.pop("tokens")
    assert tokens[0] == {"id": 195, "bytes": "c3", "label": "\\xc3", "merge_rank": None}
    sizes = {"token_count": 2, "text_bytes": 2, "characters": 1, "bytes_per_token": 1.0, "characters_per_token": 0.5}
    assert found == {"tokenizer": "bytes", "vocab_size": 256, "special": False, "note": None} | sizes


def test_a_file_and_standard_input_are_the_same(llmlab: Call, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_file = llmlab("tokenize", "--file", text, "--json")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.read_bytes())))
    assert llmlab("tokenize", "--json") == from_file
    assert len(json.loads(from_file.out)["tokens"]) > 200


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
    assert rows[1:6] == [["the", "t│h│e"], ["dog", "␣│d│o│g"], ["<|endoftext|>"], ["the", "t│h│e"], ["dog", "␣│d│o│g"]]


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


MISTAKES = {
    "--vocabulary --sort frequency": "Counts need a text",
    "--vocabulary --sort embedding": "Embeddings need a model",
    "a --search #x": "llmlab: --search is for --vocabulary.",
    "a --sort id --limit 3": "llmlab: --sort and --limit are for --vocabulary.",
    "--vocabulary --tokenizer gpt2,bytes": "one tokenizer",
    "a --tokenizer ,": "names none",
    "a --tokenizer gpt2,nosuch": "no run called 'nosuch'",
    "--file /none.txt": "none.txt does not exist",
    "--merges 3 text": "--merges is for --learn",
    "--clean all text": "--clean is for --learn",
    "--learn python text": "--learn takes the path of a text",
    "--learn /none.txt": "none.txt does not exist",
    "--learn python --merges -1": "at least 0",
    "--learn python --clean nosuch": "nosuch",
}


def test_mistakes(llmlab: Call, home: Path) -> None:
    for arguments, words in MISTAKES.items():
        llmlab("tokenize", *arguments.split()).assert_mistake(words)
    assert llmlab("tokenize", "", "--tokenizer", "gpt2,bytes").code == 0


def test_a_reader_that_has_enough_ends_it_quietly(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("The big dog ran.\n" * 5_000)
    command = [LLMLAB, "tokenize", "--file", path, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""


def test_the_ids_of_a_file_are_those_of_its_bytes_or_it_says_so(llmlab: Call, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    for content, text, said in (
        (b"one\r\ntwo\rthree\n\n", "one\r\ntwo\rthree\n\n", ""),
        (b"\xef\xbb\xbfmarked\r\n", "marked\r\n", "llmlab: text: a byte-order mark is dropped (3 bytes).\n"),
        ("wide\r\n".encode("utf-16"), "wide\r\n", "llmlab: text: decoded from utf-16 (14 B) into UTF-8 (6 B).\n"),
    ):
        path.write_bytes(content)
        for options in ((), ("--json",), ("--vocabulary",)):
            done = llmlab("tokenize", "--tokenizer", "bytes", "--file", path, *options)
            assert (done.code, done.err) == (0, said)
            if options == ("--json",):
                assert bytes(token["id"] for token in json.loads(done.out)["tokens"]) == text.encode()


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


def test_a_search_for_bytes_that_are_none_is_a_mistake(llmlab: Call) -> None:
    search = ("tokenize", "--vocabulary", "--tokenizer", "bytes", "--search")
    for query in ("0xzz", "0x123", "^0xe", "0xe2 8", "0X0g"):
        llmlab(*search, query).assert_mistake("is not bytes in hexadecimal")
    for other, found in (("0x41", 1), ("0x", 0), (r"\x30xzz", 0), ("#zz", 0)):
        assert f"{found} of 256 tokens found" in llmlab(*search, other).out


def test_the_merges_are_those_that_a_run_would_learn(llmlab: Call, tmp_path: Path) -> None:
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("the big dog ran, the small dog slept\n" * 30)
    second.write_text("naïve café 🙂\n" * 9, encoding="utf-16")
    done = llmlab("tokenize", "--learn", first, "--learn", second, "--merges", "20", "--json")
    merges = [json.loads(line) for line in done.out.splitlines()]
    corpus = open_corpus(f"{first}\n{second}")
    tokenizer = Tokenizer.train(training_text(corpus, split_text(corpus), lambda _: None), 276)
    assert [bytes.fromhex(merge["bytes"]) for merge in merges] == [tokenizer.token_bytes(id) for id in range(256, 276)]
    assert [merge["merge"] for merge in merges] == list(range(1, 21))
    assert [(merge["left"], merge["right"]) for merge in merges] == [tokenizer.parents(merge["id"]) for merge in merges]


def test_lines_name_the_pair_the_tie_and_the_end(llmlab: Call, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("abcabc")
    lines = llmlab("tokenize", "--learn", text, "--merges", "9").out.splitlines()
    assert lines[0] == "the training part of text: 5 bytes, 1 piece (words, numbers, signs), 1 of them different"
    assert [line.split() for line in lines[-4:-1]] == [
        ["1", "2", "3", "256", "=", "97", "+", "98", '"ab"', "=", '"a"', "+", '"b"'],
        ["2", "1", "2", "2", "257", "=", "99", "+", "256", '"cab"', "=", '"c"', "+", '"ab"'],
        ["3", "1", "1", "258", "=", "256", "+", "257", '"abcab"', "=", '"ab"', "+", '"cab"'],
    ]
    assert lines[-1] == "Every piece is one token: there is no pair left to merge."


def test_the_text_is_cleaned_as_for_a_run(llmlab: Call, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("abc\n\n\n\n\nabc\n" * 9)
    sizes = [llmlab("tokenize", "--learn", text, "--merges", "0", *rules).out.split(",")[0] for rules in ([], ["--clean", "all"])]
    assert sizes[0] == "the training part of text: 96 bytes"
    assert sizes[1] != sizes[0]


def test_each_merge_is_written_at_once_and_a_closed_pipe_or_ctrl_c_ends_it_quietly() -> None:
    for end in ("closed pipe", "Ctrl-C"):
        command = [LLMLAB, "tokenize", "--learn", "python", "--merges", "1000000", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stderr
            assert json.loads(process.stdout.readline())["merge"] == 1
            if end == "Ctrl-C":
                process.send_signal(signal.SIGINT)
                process.stdout.read()
            else:
                process.stdout.close()
            assert process.stderr.read().strip() == b""
            assert process.wait() == {"Ctrl-C": 130, "closed pipe": 1}[end]
