import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import UserError
from lab.data.corpus import Corpus
from lab.data.data_order import ValidationWindows, counted_targets
from lab.data.text_source import open_corpus
from lab.data.token_file import TokenFile, token_dtype, tokenize_corpus
from lab.data.train_val_split import split_text
from models.tokenizers.tokenizer import Tokenizer
from tests.fixture_types import MakeTokens


@given(st.integers(0, 40), st.integers(1, 300), st.integers(1, 20), st.integers(1, 9))
def test_each_validation_token_is_predicted_once(
    make_tokens: MakeTokens, start: int, count: int, context: int, batch: int
) -> None:
    count += start == 0
    validation = ValidationWindows(make_tokens(5000), start, start + count, context, batch)
    predicted: list[int] = []
    batches = list(validation)
    assert len(batches) == len(validation)
    for ids, targets in batches:
        assert ids.shape == targets.shape
        assert ids.shape[0] <= batch
        assert ids.shape[1] <= context
        assert (targets == ids + 1).all()
        predicted += targets.ravel().tolist()
    assert all(ids.shape == (batch, context) for ids, _ in batches[:-2])
    assert predicted == list(range(max(start, 1), start + count))
    assert validation.tokens == len(predicted)
    assert [ids.tolist() for ids, _ in validation] == [ids.tolist() for ids, _ in batches]


@given(st.integers(1, 40), st.integers(1, 300), st.integers(1, 20), st.integers(1, 9), st.data())
def test_tokens_in_ranges_are_counted_in_the_windows_that_they_have_in_the_whole_part(
    make_tokens: MakeTokens, start: int, count: int, context: int, batch: int, data: st.DataObject
) -> None:
    edges = sorted(data.draw(st.lists(st.integers(start, start + count), min_size=2, max_size=8)))
    ranges = tuple(zip(edges[::2], edges[1::2], strict=False))
    wanted = [id for begin, end in ranges for id in range(begin, end)]
    if not wanted:
        with pytest.raises(UserError, match="damaged"):
            ValidationWindows(make_tokens(5000), start, start + count, context, batch, ranges)
        return
    validation = ValidationWindows(make_tokens(5000), start, start + count, context, batch, ranges)
    whole = {
        tuple(row)
        for ids, _ in ValidationWindows(make_tokens(5000), start, start + count, context, batch)
        for row in ids.tolist()
    }
    batches = list(validation)
    assert len(batches) == len(validation)
    predicted = [int(id) for _, targets in batches for id in targets.ravel() if id != -100]
    assert predicted == wanted
    assert validation.tokens == len(wanted) == sum(counted_targets(targets) for _, targets in batches)
    for ids, targets in batches:
        assert ((targets == ids + 1) | (targets == -100)).all()
        assert {tuple(row) for row in ids.tolist()} <= whole
        assert (targets != -100).any(1).all(), "a window that counts nothing is not computed"


@pytest.mark.parametrize("ranges", [(), ((99, 120),), ((100, 301),), ((150, 140),), ((100, 160), (150, 170)), ((120, 120),)])
def test_ranges_that_are_none_are_an_error(make_tokens: MakeTokens, ranges: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(UserError, match="damaged"):
        ValidationWindows(make_tokens(5000), 100, 300, 8, 4, ranges)


def test_an_empty_validation_part_is_an_error(make_tokens: MakeTokens) -> None:
    with pytest.raises(UserError, match="validation"):
        ValidationWindows(make_tokens(5000), 100, 100, 8, 4)


def test_bits_per_byte_of_a_model_that_guesses(tmp_path: Path) -> None:
    """ln 256 nats a token of one byte each are 8 bits per byte, summed over the batches as they come."""
    corpus = text(tmp_path / "text", "größer 犬\n" * 999)
    tokenizer = Tokenizer.bytes_()
    prepared = tokenize_corpus(corpus, split_text(corpus), tokenizer, tmp_path / "tokens.bin")
    tokens = TokenFile(tmp_path / "tokens.bin", token_dtype(256))
    nats = sum(math.log(256) * targets.size for _, targets in ValidationWindows(tokens, prepared.split, prepared.tokens, 32, 4))
    assert nats / math.log(2) / prepared.val_bytes == pytest.approx(8, abs=1e-12)


def text(path: Path, content: str) -> Corpus:
    path.write_bytes(content.encode())
    return open_corpus(str(path))
