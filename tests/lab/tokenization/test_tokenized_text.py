import functools

from hypothesis import given, settings
from hypothesis import strategies as st

from lab.tokenization.tokenized_text import changed_range, tokenize_text
from models.tokenizers.tokenizer import Tokenizer


@functools.cache
def tokenizer_of(kind: str) -> Tokenizer:
    match kind:
        case "gpt2":
            return Tokenizer.gpt2()
        case "bytes":
            return Tokenizer.bytes_()
    return Tokenizer.train(["the big dog's tail, 1234 dogs' tails; naïve cafés 🙂🙂 日本語  \n\n  x = 'll" * 4], 400)


KINDS = ("gpt2", "bytes", "bpe")
TEXTS = st.text(st.sampled_from("ab's lv1. \n\t\x1c\x85é日🙂\u0301\u200d\udc80\udcff\ud83d\ude42"), max_size=24) | st.text(
    max_size=12
)
EDITS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4), TEXTS), min_size=1, max_size=4)


@settings(max_examples=60)
@given(TEXTS, EDITS, st.sampled_from(KINDS))
def test_a_text_tokenized_after_each_edit_has_the_tokens_of_the_whole(
    start: str, edits: list[tuple[int, int, str]], kind: str
) -> None:
    tokenizer = tokenizer_of(kind)
    text, found = start, tokenize_text(tokenizer, start)
    for at, taken, put in edits:
        text = text[:at] + put + text[at + taken :]
        found = tokenize_text(tokenizer, text, found)
        whole = tokenize_text(tokenizer, text)
        assert (found.ids, found.text) == (whole.ids, whole.text)
        assert found.ids == tokenizer.encode(text)


@given(TEXTS, st.sampled_from(KINDS))
def test_each_token_covers_the_characters_that_hold_its_bytes(text: str, kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    found = tokenize_text(tokenizer, text)
    places = [at for at, character in enumerate(found.text) for _ in character.encode("utf-8", "surrogateescape")]
    at = 0
    held: dict[int, list[int]] = {}
    for index, id in enumerate(found.ids):
        size = len(tokenizer.token_bytes(id))
        covered = places[at : at + size]
        assert (found.first_characters[index], found.end_characters[index]) == (covered[0], covered[-1] + 1)
        for place in set(covered):
            held.setdefault(place, []).append(index)
        at += size
    split = [tuple(map(int, each)) for each in zip(*found.split_characters, strict=True)]
    assert split == [(at, of[0], of[-1] + 1) for at, of in sorted(held.items()) if len(of) > 1]
    for place, of in held.items():
        assert found.token_at(place) == of[0]


def test_an_edit_in_the_middle_of_a_long_text_leaves_the_rest_alone() -> None:
    text = "the big dog ran fast. " * 900
    at = len(text) // 2
    start, old_end, end = changed_range(text, text[:at] + "x" + text[at:])
    assert 0 < end - start < 20
    assert old_end == end - 1
    assert changed_range("a" * 3000 + " ", "a" * 3000 + "b ") == (0, 3001, 3002), "no border before it"
    assert changed_range("ab " + "c" * 3000, "ab " + "c" * 3001)[0] == 2, "a border far before"
