"""`llmlab tokenize --learn`: the merges of BPE, printed while they are learned."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from lab.data.text_source import open_corpus
from lab.data.train_val_split import split_text, training_text
from models.tokenizers.tokenizer import Tokenizer
from tests.fixture_types import Call

LLMLAB = Path(sys.executable).with_name("llmlab")


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
    llmlab("tokenize", "--learn", text, "--clean", "nosuch").assert_mistake("nosuch")


def test_mistakes_are_one_sentence(llmlab: Call, tmp_path: Path) -> None:
    llmlab("tokenize", "--merges", "3", "text").assert_mistake("--merges is for --learn")
    llmlab("tokenize", "--clean", "all", "text").assert_mistake("--clean is for --learn")
    llmlab("tokenize", "--learn", "python", "text").assert_mistake("--learn takes the path of a text")
    llmlab("tokenize", "--learn", tmp_path / "none.txt").assert_mistake("none.txt", "does not exist")
    llmlab("tokenize", "--learn", "python", "--merges", "-1").assert_mistake("at least 0")


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
