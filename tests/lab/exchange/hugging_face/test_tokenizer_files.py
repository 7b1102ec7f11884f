"""Tokenizers out and in: the ids of Hugging Face's tokenizers library on odd texts, and what is refused."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import UserError
from lab.exchange.hugging_face.export_model import tokenizer_config_json, tokenizer_json
from lab.exchange.hugging_face.model_folder import ModelFolder
from lab.exchange.hugging_face.tokenizer_files import GPT2_CHECKSUM, read_tokenizer
from models.tokenizers.tokenizer import Tokenizer

TEXT = "the cat's 12 dogs — naïve café, 日本語の 文 \t\n\n aaaaaaa aaaa 'll we'll 🙂🙂 "


def learned(*, end_of_text: bool = False) -> Tokenizer:
    return Tokenizer.train([TEXT * 9, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa  the the"], 400, end_of_text=end_of_text)


MADE: dict[str, Callable[[], Tokenizer]] = {
    "bytes": Tokenizer.bytes_,
    "bytes-documents": lambda: Tokenizer.bytes_(end_of_text=True),
    "bpe": learned,
    "bpe-documents": lambda: learned(end_of_text=True),
    "gpt2": lambda: Tokenizer.gpt2(download=False),
}


@cache
def ours_named(name: str) -> Tokenizer:
    """One of ours, made by the first test that needs it: whoever learns a vocabulary has threads from then on."""
    return MADE[name]()


@cache
def exported(name: str) -> str:
    """Content of the tokenizer.json of one of ours."""
    return json.dumps(tokenizer_json(ours_named(name)))


@cache
def theirs(name: str) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str(exported(name))


ODD = st.text(
    st.characters(max_codepoint=0x2FFFF, exclude_categories=["Cs", "Cn"]) | st.sampled_from("aaeehht's  \n\t\r\u00a0\u30000129'`")
)


@given(text=ODD | st.text("a the'slmdrvt \n", max_size=80), name=st.sampled_from(sorted({*MADE} - {"gpt2"})))
def test_ids_are_those_of_the_tokenizers_library(text: str, name: str) -> None:
    ids = theirs(name).encode(text, add_special_tokens=True).ids
    assert ids == ours_named(name).encode(text, special=True)
    assert theirs(name).decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_tokenizer_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    ours = ours_named(name)
    assert theirs(name).encode("a<|endoftext|> b").ids == ours.encode("a<|endoftext|> b", special=True)
    assert theirs(name).get_vocab_size() == ours.vocab_size
    (tmp_path / "tokenizer.json").write_text(exported(name))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokenizer_config_json(ours, 64)))
    assert read_tokenizer(ModelFolder(tmp_path), ours.vocab_size).checksum == ours.checksum
    if name == "gpt2":
        return  # of a large vocabulary the rest takes seconds
    with pytest.raises(UserError, match=r"tokens, and the model|which the model has no row for"):
        read_tokenizer(ModelFolder(tmp_path), ours.vocab_size - 1)
    padded = read_tokenizer(ModelFolder(tmp_path), ours.vocab_size + 1)
    assert (padded.kind_of(ours.vocab_size), padded.label(ours.vocab_size)) == ("unused", "(no token)")
    assert Tokenizer.loads(padded.dumps().encode(), "").encode(TEXT) == ours.encode(TEXT)


def test_two_files_give_the_same_tokenizer_and_none_gives_gpt2_s(tmp_path: Path) -> None:
    gpt2 = ours_named("gpt2")
    assert gpt2.checksum == GPT2_CHECKSUM
    assert read_tokenizer(ModelFolder(tmp_path), 50257).checksum == GPT2_CHECKSUM
    with pytest.raises(UserError, match=r"with 50,256 rows the model does not have GPT-2's vocabulary"):
        read_tokenizer(ModelFolder(tmp_path), 50256)
    ours = ours_named("bpe-documents")
    model = tokenizer_json(ours)["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    with pytest.raises(UserError, match=r"vocab\.json without merges\.txt"):
        read_tokenizer(ModelFolder(tmp_path), 50257)
    for head, end in (("#version: 0.2\n", "\n"), ("", ""), ("#version: 0.2\r\n", "\r\n")):
        lines = "\n".join(" ".join(pair) for pair in model["merges"])
        (tmp_path / "merges.txt").write_bytes((head + lines + end).encode())
        assert read_tokenizer(ModelFolder(tmp_path), ours.vocab_size).checksum == ours.checksum
    for name, content, words in (
        ("tokenizer_config", {"add_prefix_space": True}, "puts a space before every text"),
        ("tokenizer_config", {"add_bos_token": True}, r"adds a token to every text \(add_bos_token\)"),
        ("tokenizer_config", {"add_eos_token": True}, r"adds a token to every text \(add_eos_token\)"),
        ("added_tokens", {"<pad>": ours.vocab_size}, r"adds '<pad>', which the model has no row for"),
        ("added_tokens", {"a": 0}, "gives 'a' two ids"),
    ):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content))
        with pytest.raises(UserError, match=words):
            read_tokenizer(ModelFolder(tmp_path), ours.vocab_size)
        path.unlink()
    (tmp_path / "added_tokens.json").write_text(json.dumps(ours.special))
    assert read_tokenizer(ModelFolder(tmp_path), ours.vocab_size).checksum == ours.checksum


def changed(**changes: Any) -> dict[str, Any]:
    """tokenizer.json of a small BPE, changed: `model__vocab=…` within `model`."""
    content = json.loads(json.dumps(tokenizer_json(ours_named("bpe"))))
    for name, value in changes.items():
        outer, _, inner = name.partition("__")
        if inner:
            content[outer] = (content[outer] or {}) | {inner: value}
        else:
            content[outer] = value
    return content


def vocab() -> dict[str, int]:
    """Tokens of the small BPE, each with its id."""
    tokens: dict[str, int] = changed()["model"]["vocab"]
    return tokens


def pairs() -> list[list[str]]:
    """Merges of the small BPE."""
    merges: list[list[str]] = changed()["model"]["merges"]
    return merges


def special_first() -> dict[str, int]:
    return {"<|endoftext|>": 0} | {token: id + 1 for token, id in vocab().items()}


def template(*before: str) -> dict[str, Any]:
    """The post-processor that puts these tokens before every text."""
    single = [*({"SpecialToken": {"id": text, "type_id": 0}} for text in before), {"Sequence": {"id": "A", "type_id": 0}}]
    return {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": {}}


def swapped() -> dict[str, int]:
    return vocab() | {next(iter(vocab())): len(vocab()) - 1, list(vocab())[-1]: 0}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: changed(model__type="WordPiece"), "'WordPiece', not byte-level BPE"),
        (lambda: changed(pre_tokenizer=None), "does not split text as GPT-2's"),
        (lambda: changed(pre_tokenizer={"type": "Whitespace"}), "does not split text as GPT-2's"),
        (lambda: changed(pre_tokenizer__use_regex=False), "does not split text as GPT-2's"),
        (lambda: changed(pre_tokenizer__add_prefix_space=True), "puts a space before every text"),
        (lambda: changed(normalizer={"type": "Lowercase"}), "has a normalizer"),
        (lambda: changed(post_processor={"type": "TemplateProcessing"}), "adds tokens to every text"),
        (lambda: changed(model__dropout=0.1), "dropout"),
        (lambda: changed(model__end_of_word_suffix="</w>"), "suffix"),
        (lambda: changed(added_tokens=[{"id": len(vocab()), "content": "<pad>"}]), "'<pad>', which the model has no row for"),
        (lambda: changed(added_tokens=[{"id": 5, "content": "dog", "special": False}]), "makes 'dog' in any text one token"),
        (lambda: changed(added_tokens=[{"id": 5, "content": "<pad>"}]), "are not 0, 1, 2"),
        (lambda: changed(added_tokens=[{"id": id, "content": "<pad>"} for id in (5, 6)]), "gives '<pad>' two ids"),
        (lambda: changed(post_processor=template("<s>")), "adds tokens to every text"),
        (lambda: changed(model__vocab=special_first()), "319 tokens, and the model 318 rows"),
        (lambda: changed(model__vocab={token: id for token, id in vocab().items() if id}), "no token for 1 of the 256 bytes"),
        (lambda: changed(model__vocab=swapped()), "first 256 ids are not the 256 single bytes"),
        (lambda: changed(model__vocab=vocab() | {"zzz": 10**9}), "damaged"),
        (lambda: changed(model__vocab=vocab() | {"zzz": 10**5}), "are not 0, 1, 2"),
        (lambda: changed(model__vocab=vocab() | {"日": len(vocab())}), "'日' stands for none"),
        (lambda: changed(model__merges=pairs()[:-1]), "merges for"),
        (lambda: changed(model__merges=[*pairs()[:-2], pairs()[-1], pairs()[-2]]), "is not that of merge"),
        (lambda: changed(model__merges=[*pairs()[:-1], [*pairs()[-1], "a"]]), "merges for"),
        (lambda: changed(model__merges=[*pairs()[:-1], ["".join(pairs()[-1]), ""]]), "is not how its token"),
        (lambda: {"model": {"type": "BPE", "vocab": 3, "merges": []}}, "damaged"),
        (list, "damaged"),
    ],
)
def test_another_tokenizer_is_refused_in_one_sentence(content: Callable[[], Any], words: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(content()))
    with pytest.raises(UserError, match=words) as error:
        read_tokenizer(ModelFolder(tmp_path), len(vocab()))
    assert "\n" not in str(error.value)


def test_a_merge_that_the_library_would_make_otherwise_is_refused(tmp_path: Path) -> None:
    """Bytes a b c: the merges ab, bc and a+bc. The library never makes abc, and the lab's merging by bytes would from ab+c."""
    written = [token for token, id in vocab().items() if id < 256]
    few = {token: id for id, token in enumerate([*written, "ab", "bc", "abc"])}
    content = changed(model__vocab=few, model__merges=[["a", "b"], ["b", "c"], ["a", "bc"]])
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode("abc").tokens == ["ab", "c"]
    with pytest.raises(UserError, match="merge 2 is not how its token 258 is encoded"):
        read_tokenizer(ModelFolder(tmp_path), 259)
