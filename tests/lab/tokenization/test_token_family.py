"""Relatives of a token, against the whole vocabulary."""

import functools

from lab.tokenization.token_facts import TokenFamilies
from models.tokenizers.tokenizer import Tokenizer


@functools.cache
def families() -> tuple[Tokenizer, TokenFamilies]:
    tokenizer = Tokenizer.gpt2()
    return tokenizer, TokenFamilies(tokenizer)


def relatives(text: str) -> list[str]:
    tokenizer, found = families()
    (id,) = tokenizer.encode(text)
    return [tokenizer.token_bytes(id).decode() for id in found.of(id)]


def test_the_relatives_of_run_in_gpt2() -> None:
    tokenizer, _ = families()
    labels = relatives(" run")
    assert set(labels[:4]) == {"run", " run", "Run", " Run"}
    assert {" runs", " running", " runner"} <= set(labels)
    texts = [tokenizer.token_bytes(id).decode("utf-8", "replace") for id in range(tokenizer.vocab_size)]
    assert sorted(labels) == sorted(text for text in texts if text.lstrip(" ").lower().startswith("run"))


def test_a_longer_token_has_its_own_beginnings_among_its_relatives() -> None:
    labels = relatives(" running")
    assert {"run", " run", " running", "Running"} <= set(labels)
    assert " runs" not in labels


def test_what_is_no_word_has_none_and_a_letter_only_itself() -> None:
    tokenizer, found = families()
    assert [relatives(text) for text in ("123", "...", " ", "\n")] == [[]] * 4
    assert found.of(tokenizer.encode("🙂")[0]) == found.of(tokenizer.special["<|endoftext|>"]) == []
    assert sorted(relatives("a")) == [" A", " a", "A", "a"]
