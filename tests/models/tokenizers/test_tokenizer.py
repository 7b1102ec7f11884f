"""Tokenizers of every kind: text comes back, labels fit a line, a damaged file is one error."""

import functools
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.config import TokenizerError
from models.tokenizers.tokenizer import Node, Tokenizer
from tests.models.tokenizers.texts import AWKWARD, KINDS, TEXT


@functools.cache
def bordered() -> dict[str, Tokenizer]:
    """Tokenizers with the special token that stands between documents."""
    return {"bytes": Tokenizer.bytes_(end_of_text=True), "bpe": Tokenizer.train([TEXT], 341, end_of_text=True)}


@functools.cache
def learned() -> Tokenizer:
    """A small one, to be saved."""
    return Tokenizer.train(["abab"], 258)


@pytest.mark.parametrize("kind", KINDS)
@given(
    st.one_of(
        st.binary(max_size=60),
        AWKWARD.map(str.encode),
        st.lists(st.sampled_from([b"\xe7\x8a", b"\xac", b"a ", b"\xff", b"\n"])).map(b"".join),
    )
)
def test_any_bytes_come_back(tokenizers: dict[str, Tokenizer], kind: str, data: bytes) -> None:
    tokenizer = tokenizers[kind]
    ids = tokenizer.encode_bytes(data)
    assert tokenizer.decode_bytes(ids) == data
    assert b"".join(tokenizer.token_bytes(id) for id in ids) == data
    assert all(0 <= id < tokenizer.vocab_size for id in ids)


@pytest.mark.parametrize("kind", KINDS)
@given(AWKWARD)
def test_text_comes_back_and_its_bytes_are_cut_alike(tokenizers: dict[str, Tokenizer], kind: str, text: str) -> None:
    tokenizer = tokenizers[kind]
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode_bytes(text.encode()) == tokenizer.encode(text)
    assert kind != "bytes" or tokenizer.encode(text) == list(text.encode())


@pytest.mark.parametrize("kind", KINDS)
@given(st.one_of(AWKWARD, st.lists(st.sampled_from(["<|endoftext|>", "<|", "\udcff", "\ud83d", "犬", " "])).map("".join)))
@example(" " * 150_000 + "犬" + "\n" * 150_000)
def test_an_array_holds_the_ids_of_the_list(tokenizers: dict[str, Tokenizer], kind: str, text: str) -> None:
    ids = tokenizers[kind].encode_array(text)
    assert ids.dtype == np.uint32
    assert ids.tolist() == tokenizers[kind].encode(text)


@given(st.one_of(AWKWARD, st.lists(st.sampled_from(["<|endoftext|>", "<|endof", "text|>", "犬", " "])).map("".join)))
def test_an_end_of_text_token_is_the_last_id_and_no_text_becomes_it(tokenizers: dict[str, Tokenizer], text: str) -> None:
    for kind, tokenizer in bordered().items():
        plain = tokenizers[kind]
        assert (tokenizer.vocab_size, tokenizer.end_of_text) == (plain.vocab_size + 1, plain.vocab_size)
        ids = tokenizer.encode(text)
        assert ids == plain.encode(text) == tokenizer.encode_array(text).tolist()
        assert tokenizer.decode_bytes(ids) == text.encode()
        end = tokenizer.end_of_text
        assert tokenizer.encode("a<|endoftext|>" + text, special=True)[:2] == [*plain.encode("a"), end]
        assert tokenizer.decode([end, *ids]) == "<|endoftext|>" + text


def test_an_end_of_text_token_is_saved_and_loaded(tmp_path: Path) -> None:
    for kind, before in bordered().items():
        before.save(tmp_path / kind)
        after = Tokenizer.load(tmp_path / kind)
        assert (after.kind, after.vocab_size, after.special) == (
            kind,
            before.vocab_size,
            {"<|endoftext|>": before.vocab_size - 1},
        )
        assert after.merge_rank(before.vocab_size - 1) is after.parents(before.vocab_size - 1) is None
    with pytest.raises(TokenizerError, match="end-of-text"):
        Tokenizer.train([TEXT], 256, end_of_text=True)
    assert Tokenizer.train([TEXT], 257, end_of_text=True).end_of_text == 256, "the bytes and no merge"


@pytest.mark.parametrize("kind", KINDS)
@given(st.text(alphabet=st.characters(codec=None, categories=["Cs", "Ll"]), max_size=12))
def test_surrogates_are_bytes_pairs_or_replaced(tokenizers: dict[str, Tokenizer], kind: str, text: str) -> None:
    tokenizer = tokenizers[kind]
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    single = "".join("\ufffd" if "\ud800" <= c <= "\udfff" and not "\udc80" <= c <= "\udcff" else c for c in paired)
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == single.encode("utf-8", "surrogateescape")


def test_a_terminals_escaped_bytes_are_those_bytes(tokenizers: dict[str, Tokenizer]) -> None:
    data = "café 犬".encode() + b"\xff\xe4" + "é".encode("latin-1")
    assert tokenizers["gpt2"].encode(data.decode("utf-8", "surrogateescape")) == tokenizers["gpt2"].encode_bytes(data)


@pytest.mark.parametrize("space", [" ", "\n", "\xa0"])
def test_half_a_million_spaces_are_no_trouble(tokenizers: dict[str, Tokenizer], space: str) -> None:
    text = f"a{space * 500_000}x"
    assert tokenizers["bytes"].encode(text) == list(text.encode())
    assert Tokenizer.train([text], 256).vocab_size == 256


@pytest.mark.parametrize("kind", KINDS)
def test_every_merge_is_of_two_earlier_tokens(tokenizers: dict[str, Tokenizer], kind: str) -> None:
    tokenizer = tokenizers[kind]
    ordinary = tokenizer.vocab_size - len(tokenizer.special)
    step = 7 if kind == "gpt2" else 1
    for id in range(256):
        assert len(tokenizer.token_bytes(id)) == 1
        assert tokenizer.parents(id) is None
        assert tokenizer.merge_rank(id) is None
    for id in range(256, ordinary, step):
        parents = tokenizer.parents(id)
        assert parents
        left, right = parents
        assert tokenizer.token_bytes(left) + tokenizer.token_bytes(right) == tokenizer.token_bytes(id)
        assert max(left, right) < id
        assert tokenizer.merge_rank(id) == id - 256
    for id in tokenizer.special.values():
        assert (tokenizer.parents(id), tokenizer.merge_rank(id), tokenizer.tree(id).left) == (None, None, None)


def test_a_tree_goes_down_to_bytes(tokenizers: dict[str, Tokenizer]) -> None:
    def leaves(node: Node) -> bytes:
        if node.left is None or node.right is None:
            assert len(node.bytes) == 1
            return node.bytes
        assert node.bytes == node.left.bytes + node.right.bytes
        return leaves(node.left) + leaves(node.right)

    gpt2 = tokenizers["gpt2"]
    for id in (464, 1263, 3290, 4966, 14827, 50255):
        assert gpt2.tree(id).id == id
        assert leaves(gpt2.tree(id)) == gpt2.token_bytes(id)
    big = gpt2.tree(1263)
    assert big.left
    assert big.right
    assert (big.left.bytes, big.right.bytes) == (b" b", b"ig")


@pytest.mark.parametrize(
    ("token", "label"),
    [
        (b" fast", " fast"),
        (b"\n", "␊"),
        (b"\t", "⇥"),
        (b"\r\n", "␍␊"),
        (b"\x00\x1b\x7f", "␀␛␡"),
        (b" ", "␣"),
        (b"   ", "␣␣␣"),
        (b"\xe7\x8a", "\\xe7\\x8a"),
        (b" \xf0\x9f", " \\xf0\\x9f"),
        ("犬".encode(), "犬"),
        ("\xa0".encode(), "\\u00a0"),
        ("a\u200db".encode(), "a\\u200db"),
        ("\u202e".encode(), "\\u202e"),
        ("\u0301".encode(), "◌\u0301"),
        (" \u0301".encode(), " ◌\u0301"),
        ("e\u0301".encode(), "e\u0301"),
        ("\U000e0001".encode(), "\\U000e0001"),
        ("☺\ufe0f".encode(), "☺\\ufe0f"),
    ],
)
def test_labels(token: bytes, label: str) -> None:
    singles = [bytes([byte]) for byte in range(256)]
    vocabulary = [*singles, token] if len(token) > 1 else singles
    assert Tokenizer("bpe", vocabulary).label(vocabulary.index(token)) == label


@pytest.mark.parametrize("kind", KINDS)
def test_every_label_can_be_shown_on_one_line(tokenizers: dict[str, Tokenizer], kind: str) -> None:
    tokenizer = tokenizers[kind]
    labels = [tokenizer.label(id) for id in range(tokenizer.vocab_size)]
    assert all(label and label.isprintable() and label.strip(" ") for label in labels)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_tokenizer_is_the_same(tokenizers: dict[str, Tokenizer], kind: str, tmp_path: Path) -> None:
    before = tokenizers[kind]
    before.save(tmp_path / "tokenizer.json")
    after = Tokenizer.load(tmp_path / "tokenizer.json")
    assert (after.kind, after.vocab_size, after.special) == (kind, before.vocab_size, before.special)
    assert [after.token_bytes(id) for id in range(after.vocab_size)] == [
        before.token_bytes(id) for id in range(before.vocab_size)
    ]
    assert after.encode(TEXT) == before.encode(TEXT)
    with pytest.raises(TokenizerError, match="cannot be read"):
        Tokenizer.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"kind": "words"},
        {"kind": None},
        {"pattern": "("},
        {"pattern": 3},
        {"pattern": "(?!)"},
        {"pattern": "x?"},
        {"pattern": "(a+)+b"},
        {"pattern": "[a-z]+| "},
        {"special": ["a"]},
        {"special": {"<|x|>": 3}},
        {"special": {"<|x|>": 258}},
        {"special": {"<|endoftext|>": 3}},
        {"special": {"<|endoftext|>": 259}},
        {"special": {"<|endoftext|>": "258"}},
        {"special": {"": 258}},
        {"tokens": None},
        {"tokens": ["AA=="]},
        {"tokens": ["?"]},
        {"tokens": [1] * 258},
    ],
)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_wrong_tokenizer_file_is_one_clear_error(tmp_path: Path, change: dict[str, object], sealed: bool) -> None:
    path = tmp_path / "tokenizer.json"
    learned().save(path)
    content = json.loads(path.read_text()) | change
    if sealed:
        del content["sha256"]
        content["sha256"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(content))
    with pytest.raises(TokenizerError, match=r"tokenizer\.json: .*[a-z].") as caught:
        Tokenizer.load(path)
    assert "\n" not in str(caught.value)


@given(cut=st.integers(0, 3000), put=st.binary(max_size=3), drop=st.integers(0, 3000))
def test_a_damaged_tokenizer_file_is_an_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, cut: int, put: bytes, drop: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged_tokenizer.json"
    learned().save(path)
    data = path.read_bytes()
    path.write_bytes(data[:cut] + put + data[cut + drop :])
    try:
        tokenizer = Tokenizer.load(path)
    except TokenizerError:
        return
    tokenizer.save(path)
    assert path.read_bytes() == data


@pytest.mark.parametrize("id", [-1, 256, 10**6, 2**40])
def test_an_id_outside_of_the_vocabulary_is_an_error(tokenizers: dict[str, Tokenizer], id: int) -> None:
    known = tokenizers["bytes"]
    for ask in (known.token_bytes, known.label, known.parents, known.merge_rank, lambda id: known.decode_bytes([3, id])):
        with pytest.raises(TokenizerError, match=str(id)):
            ask(id)


def test_a_vocabulary_that_is_no_bpe_is_refused() -> None:
    singles = [bytes([byte]) for byte in range(256)]
    for tokens in (singles[1:], [*singles, b"ab", b"ab"], [*singles, b""], [b"ab", *singles]):
        with pytest.raises(TokenizerError):
            Tokenizer("bpe", tokens)
    with pytest.raises(TokenizerError, match="not the merge"):
        Tokenizer("bpe", [*singles, b"abc"]).parents(256)
