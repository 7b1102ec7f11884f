"""What is said of a text's tokens, against the bytes themselves."""

from lab.tokenization.token_statistics import HEX_BYTES, TextCounts, hex_of, merge_table, vocabulary_sentence
from models.tokenizers.tokenizer import Tokenizer


def test_counts_in_words() -> None:
    assert TextCounts(7, 8, 4).sentence == "7 characters = 8 bytes = 4 tokens: 1.75 characters per token"
    assert TextCounts(1, 1, 1).sentence == "1 character = 1 byte = 1 token: 1.00 characters per token"
    assert TextCounts(0, 0, 0).sentence == "0 characters = 0 bytes = 0 tokens"


def test_the_bytes_of_a_long_token_are_cut_with_a_mark() -> None:
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


def test_the_sentence_adds_up_to_the_vocabulary() -> None:
    assert vocabulary_sentence(Tokenizer.bytes_(), "").startswith("Every byte is a token")
    assert "50,257 tokens: 256 bytes, 50,000 merges" in vocabulary_sentence(Tokenizer.gpt2(), "")
    learned = Tokenizer.train(["the big dog ran, the cat sat, a mouse hid"], 270)
    assert vocabulary_sentence(learned, "tale").startswith("tale's 270 tokens: 256 bytes and 14 merges")
