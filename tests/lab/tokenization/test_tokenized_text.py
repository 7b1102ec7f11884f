import functools

from hypothesis import given
from hypothesis import strategies as st

from lab.tokenization.tokenized_text import tokenize_text
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


@given(TEXTS, st.sampled_from(KINDS))
def test_each_token_covers_the_characters_that_hold_its_bytes(text: str, kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    found = tokenize_text(tokenizer, text)
    assert found.ids == tokenizer.encode(text)
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
