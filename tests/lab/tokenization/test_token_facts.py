"""What is said of a text's tokens, against the bytes themselves."""

import functools

from lab.experiments.tokens import parts
from lab.tokenization.token_facts import HEX_BYTES, TokenFamilies, hex_of, merge_fact, merge_table
from lab.tokenization.vocabulary_facts import origin_of
from models.tokenizers.tokenizer import Tokenizer


@functools.cache
def families() -> tuple[Tokenizer, TokenFamilies]:
    tokenizer = Tokenizer.gpt2()
    return tokenizer, TokenFamilies(tokenizer)


def relatives(text: str) -> list[str]:
    tokenizer, found = families()
    (id,) = tokenizer.encode(text)
    return [tokenizer.token_bytes(id).decode() for id in found.of(id)]


def test_the_relatives_of_a_token_in_gpt2_are_its_spellings_beginnings_and_continuations() -> None:
    tokenizer, _ = families()
    labels = relatives(" run")
    assert set(labels[:4]) == {"run", " run", "Run", " Run"}
    texts = [tokenizer.token_bytes(id).decode("utf-8", "replace") for id in range(tokenizer.vocab_size)]
    assert sorted(labels) == sorted(text for text in texts if text.lstrip(" ").lower().startswith("run"))
    longer = relatives(" running")
    assert {"run", " run", " running", "Running"} <= set(longer)
    assert " runs" not in longer


def test_what_is_no_word_has_none_and_a_letter_only_itself() -> None:
    tokenizer, found = families()
    assert [relatives(text) for text in ("123", "...", " ", "\n")] == [[]] * 4
    assert found.of(tokenizer.encode("🙂")[0]) == found.of(tokenizer.special["<|endoftext|>"]) == []
    assert sorted(relatives("a")) == [" A", " a", "A", "a"]


def test_the_bytes_of_a_long_token_are_cut() -> None:
    assert hex_of("é".encode()) == "c3 a9"
    assert hex_of(b"-" * (HEX_BYTES + 1)) == "2d " * HEX_BYTES + "…"


def test_the_leaves_of_the_merges_are_the_token_s_own_bytes() -> None:
    tokenizer = Tokenizer.train(["the big dog, the big dog, the big dog"], 300)
    for id in range(256, tokenizer.vocab_size):
        rows = merge_table(tokenizer, id).rows
        leaves = [row[2].text for row in rows if row[3].text == "a byte"]
        assert bytes.fromhex("".join(leaves)) == tokenizer.token_bytes(id)
        assert rows[0][3].text == f"merge {id - 255}"
        assert len(rows) == 2 * len(leaves) - 1


def test_an_imported_vocabulary_is_told_token_by_token() -> None:
    """`<|endoftext|>` at id 0, so that every other id is one higher, [PAD] behind the merges, and two rows without a token."""
    ordinary = [bytes([byte]) for byte in range(256)] + [b"th", b"the"]
    made = Tokenizer("bpe", ordinary, {"<|endoftext|>": 0, "[PAD]": 259}, vocab_size=262)
    assert made.encode("the<|endoftext|>t", special=True) == [258, 0, 1 + ord("t")]
    assert made.decode([258, 260, 0]) == "the<|endoftext|>"
    assert [made.merge_rank(id) for id in (0, 1, 256, 257, 258, 259, 260)] == [None, None, None, 0, 1, None, None]
    assert parts(made) == [256, 2, 2, 2]
    assert [origin_of(made, id) for id in (0, 1, 258, 261)] == ["special", "a byte", '"th" + "e"', "unused"]
    assert [merge_fact(made, id)[:14] for id in (0, 1, 258, 261)] == [
        "none: it is sp",
        "none: it is on",
        '2 of 2: "th" +',
        "none: no token",
    ]
    assert Tokenizer.loads(made.dumps().encode(), "").checksum == made.checksum
