"""BPE: training and encoding, held to the plain algorithm."""

import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import regex
from hypothesis import given

from models.config import TokenizerError
from models.tokenizers.tokenizer import Tokenizer
from tests.models.tokenizers.texts import AWKWARD, ORIGINAL, TEXT


def test_training_merges_the_most_frequent_pair_each_time(tokenizers: dict[str, Tokenizer]) -> None:
    bpe = tokenizers["bpe"]
    assert bpe.vocab_size == 340
    words = Counter(tuple(bytes([byte]) for byte in piece.encode()) for piece in regex.findall(ORIGINAL, TEXT))
    for id in range(256, bpe.vocab_size):
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, count in words.items():
            for pair in itertools.pairwise(word):
                pairs[pair] += count
        parents = bpe.parents(id)
        assert parents
        chosen = (bpe.token_bytes(parents[0]), bpe.token_bytes(parents[1]))
        assert pairs[chosen] == max(pairs.values())
        merged: Counter[tuple[bytes, ...]] = Counter()
        for word, count in words.items():
            merged[_merge(word, chosen)] += count
        words = merged


def _merge(word: tuple[bytes, ...], pair: tuple[bytes, bytes]) -> tuple[bytes, ...]:
    out: list[bytes] = []
    at = 0
    while at < len(word):
        length = 2 if word[at : at + 2] == pair else 1
        out.append(b"".join(word[at : at + length]))
        at += length
    return tuple(out)


@given(AWKWARD)
def test_bpe_encodes_by_replaying_its_merges_in_order(tokenizers: dict[str, Tokenizer], text: str) -> None:
    bpe = tokenizers["bpe"]
    merges = [bpe.parents(id) for id in range(256, bpe.vocab_size)]
    expected: list[bytes] = []
    for piece in regex.findall(ORIGINAL, text):
        word = tuple(bytes([byte]) for byte in piece.encode())
        for pair in merges:
            assert pair
            word = _merge(word, (bpe.token_bytes(pair[0]), bpe.token_bytes(pair[1])))
        expected += word
    assert [bpe.token_bytes(id) for id in bpe.encode(text)] == expected


def test_training_does_not_depend_on_the_number_of_cores(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    tokenizers["bpe"].save(tmp_path / "here.json")
    code = (
        "import sys; from models.tokenizers.tokenizer import Tokenizer\n"
        "Tokenizer.train([open(sys.argv[1], encoding='utf-8').read()], 340).save(sys.argv[2])"
    )
    (tmp_path / "text").write_text(TEXT, "utf-8", newline="\n")
    for threads in ("1", "3"):
        there = tmp_path / f"{threads}.json"
        subprocess.run([sys.executable, "-c", code, tmp_path / "text", there], env={"RAYON_NUM_THREADS": threads}, check=True)
        assert there.read_bytes() == (tmp_path / "here.json").read_bytes()


def test_a_text_with_few_merges_gives_a_smaller_vocabulary() -> None:
    small = Tokenizer.train(["abab"], 1000)
    assert small.vocab_size == 258
    assert small.decode(small.encode("abab cd")) == "abab cd"
    assert Tokenizer.train([], 300).vocab_size == 256
    with pytest.raises(TokenizerError, match="256"):
        Tokenizer.train(["abab"], 255)
    assert Tokenizer.train(["a\udcffb\ud800" * 3], 300).vocab_size > 256, "a text with surrogates"
