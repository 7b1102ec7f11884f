import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import UserError
from lab.data.text_source import Corpus, open_corpus
from lab.data.token_file import Batches, Tokens, Validation, count_bytes, counted, prepare_tokens, token_dtype, token_lengths
from lab.data.train_val_split import Split, split_text
from models.tokenizers.tokenizer import Tokenizer

MakeTokens = Callable[[int], Tokens]


@pytest.fixture(scope="module")
def make_tokens(tmp_path_factory: pytest.TempPathFactory) -> MakeTokens:
    """The tokens 0, 1, 2 ..., so that a window's ids say where it lies."""
    path = tmp_path_factory.mktemp("tokens") / "tokens.bin"
    path.write_bytes(np.arange(5000, dtype="<u2").tobytes())

    def make(count: int) -> Tokens:
        tokens = Tokens(path, token_dtype(5000))
        tokens.ids = tokens.ids[:count]
        return tokens

    return make


SHAPES = st.tuples(st.integers(0, 50), st.integers(2, 400), st.integers(1, 20), st.integers(1, 9), st.integers(-3, 2**70)).filter(
    lambda shape: shape[1] > shape[2]
)
"""Start, length, context, batch, seed."""


@given(SHAPES)
def test_every_window_once_an_epoch_and_never_the_validation_part(make_tokens: MakeTokens, shape: tuple[int, ...]) -> None:
    start, count, context, batch, seed = shape
    batches = Batches(make_tokens(5000), start, start + count, context, batch, seed)
    assert batches.windows == max(1, (count - 1) // context - 1)
    epochs = 3
    drawn = []
    for step in range(math.ceil(epochs * batches.windows / batch)):
        ids, targets = batches.at(step)
        assert ids.shape == targets.shape == (batch, context)
        assert ids.dtype == targets.dtype == np.int64
        assert (targets == ids + 1).all()
        assert (np.diff(ids) == 1).all()
        drawn += list(ids[:, 0])
        assert ids.min() >= start
        assert targets.max() < start + count
    for epoch in range(epochs):
        seen = sorted(drawn[epoch * batches.windows : (epoch + 1) * batches.windows])
        assert (np.diff(seen) == context).all(), "every window once, none overlapping"


@given(SHAPES, st.integers(0, 100))
def test_a_batch_depends_on_seed_and_step_alone(make_tokens: MakeTokens, shape: tuple[int, ...], step: int) -> None:
    start, count, context, batch, seed = shape
    one = Batches(make_tokens(5000), start, start + count, context, batch, seed)
    for other in (step + 3, 0, step + 40, 1):
        one.at(other)
    ids, targets = one.at(step)
    fresh = Batches(make_tokens(5000), start, start + count, context, batch, seed).at(step)
    assert (ids == fresh[0]).all()
    assert (targets == fresh[1]).all()


def test_epochs_and_seeds_differ_in_order_and_offset(make_tokens: MakeTokens) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        batches = Batches(make_tokens(5000), 0, 5000, 16, 1, seed)
        return [int(batches.at(step)[0][0, 0]) for step in range(epoch * batches.windows, (epoch + 1) * batches.windows)]

    orders = [order(seed, epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert len({tuple(found) for found in orders}) == 4
    assert len({min(found) for found in orders}) > 1
    assert all(found != sorted(found) for found in orders)


def test_windows_are_shuffled_evenly(make_tokens: MakeTokens) -> None:
    """Where the first window of an epoch lies, over 400 seeds, is uniform: chi-squared with 9 degrees of freedom, 0.1 % tail
    at 27.9."""
    firsts = [int(Batches(make_tokens(5000), 0, 5000, 10, 1, seed).at(0)[0][0, 0]) for seed in range(400)]
    counts = np.histogram(firsts, bins=10, range=(0, 5000))[0]
    assert ((counts - 40.0) ** 2 / 40.0).sum() < 27.9


def test_the_order_is_the_same_on_every_machine(make_tokens: MakeTokens) -> None:
    batches = Batches(make_tokens(5000), 100, 4600, 32, 4, 1337)
    assert batches.at(0)[0][:, 0].tolist() == [3213, 1581, 1485, 3757]
    assert batches.at(1000)[0][:, 0].tolist() == [2413, 1677, 4141, 4013]


def test_an_epoch_is_as_many_tokens_as_the_part_has(make_tokens: MakeTokens) -> None:
    """Not as many as its windows hold: 109 times was said of a short text that had been gone through 99 times."""
    batches = Batches(make_tokens(5000), 0, 1024 + 32 + 1, 32, 4, 0)
    assert batches.windows == 32
    assert [batches.epoch(step) for step in (0, 8, 12)] == [0.0, 8 * 4 * 32 / 1057, 12 * 4 * 32 / 1057]


def test_a_part_shorter_than_a_window_is_an_error(make_tokens: MakeTokens) -> None:
    Batches(make_tokens(5000), 0, 33, 32, 4, 0).at(5)
    with pytest.raises(UserError, match="33"):
        Batches(make_tokens(5000), 0, 32, 32, 4, 0)


@given(st.integers(0, 40), st.integers(1, 300), st.integers(1, 20), st.integers(1, 9))
def test_each_validation_token_is_predicted_once(
    make_tokens: MakeTokens, start: int, count: int, context: int, batch: int
) -> None:
    count += start == 0
    validation = Validation(make_tokens(5000), start, start + count, context, batch)
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
            Validation(make_tokens(5000), start, start + count, context, batch, ranges)
        return
    validation = Validation(make_tokens(5000), start, start + count, context, batch, ranges)
    whole = {tuple(row) for ids, _ in Validation(make_tokens(5000), start, start + count, context, batch) for row in ids.tolist()}
    batches = list(validation)
    assert len(batches) == len(validation)
    predicted = [int(id) for _, targets in batches for id in targets.ravel() if id != -100]
    assert predicted == wanted
    assert validation.tokens == len(wanted) == sum(counted(targets) for _, targets in batches)
    for ids, targets in batches:
        assert ((targets == ids + 1) | (targets == -100)).all()
        assert {tuple(row) for row in ids.tolist()} <= whole
        assert (targets != -100).any(1).all(), "a window that counts nothing is not computed"


@pytest.mark.parametrize("ranges", [(), ((99, 120),), ((100, 301),), ((150, 140),), ((100, 160), (150, 170)), ((120, 120),)])
def test_ranges_that_are_none_are_an_error(make_tokens: MakeTokens, ranges: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(UserError, match="damaged"):
        Validation(make_tokens(5000), 100, 300, 8, 4, ranges)


def test_an_empty_validation_part_is_an_error(make_tokens: MakeTokens) -> None:
    with pytest.raises(UserError, match="validation"):
        Validation(make_tokens(5000), 100, 100, 8, 4)


def text(path: Path, content: str) -> Corpus:
    path.write_bytes(content.encode())
    return open_corpus(str(path))


@pytest.mark.parametrize("kind", ["bytes", "bpe", "gpt2"])
def test_tokens_on_disk_are_the_text(tmp_path: Path, kind: str) -> None:
    content = "The big dog ran — größer, 犬が走った 🐕.\n" * 3000 + "The end"
    corpus = text(tmp_path / "text", content)
    tokenizer = {"bytes": Tokenizer.bytes_, "gpt2": Tokenizer.gpt2, "bpe": lambda: Tokenizer.train([content], 270)}[kind]()
    seen: list[tuple[int, int]] = []
    split = split_text(corpus)
    prepared = prepare_tokens(corpus, split, tokenizer, tmp_path / "tokens.bin", lambda done, total: seen.append((done, total)))
    assert (tmp_path / "tokens.bin").stat().st_size == 2 * prepared.tokens
    tokens = Tokens(tmp_path / "tokens.bin", token_dtype(tokenizer.vocab_size))
    ids = tokens[:].tolist()
    data = content.encode()
    assert ids == [id for start, stop in pairwise(split.cuts) for id in tokenizer.encode(data[start:stop].decode())]
    assert tokenizer.decode_bytes(ids) == data
    assert len(tokens) == prepared.tokens == len(ids)
    assert prepared.train_bytes == split.split == len(tokenizer.decode_bytes(ids[: prepared.split]))
    assert prepared.val_bytes == len(tokenizer.decode_bytes(ids[prepared.split :]))
    assert prepared.train_bytes + prepared.val_bytes == corpus.bytes
    assert seen[-1] == (corpus.bytes, corpus.bytes)
    assert seen == sorted(seen)


def test_bits_per_byte_of_a_model_that_guesses(tmp_path: Path) -> None:
    """ln 256 nats a token of one byte each are 8 bits per byte, summed over the batches as they come."""
    corpus = text(tmp_path / "text", "größer 犬\n" * 999)
    tokenizer = Tokenizer.bytes_()
    prepared = prepare_tokens(corpus, split_text(corpus), tokenizer, tmp_path / "tokens.bin")
    tokens = Tokens(tmp_path / "tokens.bin", token_dtype(256))
    nats = sum(math.log(256) * targets.size for _, targets in Validation(tokens, prepared.split, prepared.tokens, 32, 4))
    assert nats / math.log(2) / prepared.val_bytes == pytest.approx(8, abs=1e-12)


def test_a_large_vocabulary_takes_four_bytes(tmp_path: Path) -> None:
    assert token_dtype(65536) == np.dtype("<u2")
    assert token_dtype(65537) == np.dtype("<u4")
    path = tmp_path / "tokens.bin"
    path.write_bytes(b"\x01\x00\x02\x00")
    assert Tokens(path, token_dtype(100_000))[0] == 0x20001


def test_bytes_are_counted_over_any_range(make_tokens: MakeTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.data.token_file.BLOCK", 7)
    lengths = np.arange(5000) % 11
    for start, stop in ((0, 0), (0, 100), (13, 14), (13, 77)):
        assert count_bytes(make_tokens(5000), lengths, start, stop) == lengths[start:stop].sum()


def test_lengths_of_tokens() -> None:
    gpt2 = Tokenizer.gpt2()
    lengths = token_lengths(gpt2)
    assert lengths.shape == (50257,)
    assert [int(lengths[id]) for id in (464, 1263, 50256)] == [3, 4, 13]


def test_a_text_that_changes_meanwhile_is_an_error(tmp_path: Path) -> None:
    corpus = text(tmp_path / "text", "The big dog ran.\n" * 9)
    split = split_text(corpus)
    with (tmp_path / "text").open("a") as file:
        file.write("It ran home.\n")
    with pytest.raises(UserError, match="changed"):
        prepare_tokens(corpus, split, Tokenizer.bytes_(), tmp_path / "tokens.bin")


def test_an_error_further_on_in_the_text_is_passed_on(tmp_path: Path) -> None:
    def read() -> Iterator[tuple[str, int]]:
        yield "The big dog ran.\n" * 20_000, 1
        raise UserError("the text is damaged.")

    corpus = Corpus("bad", "bad", "utf-8", 10, read)
    with pytest.raises(UserError, match="damaged"):
        prepare_tokens(corpus, Split(9, 8, ((8, 9),), ((8, 9),)), Tokenizer.bytes_(), tmp_path / "tokens.bin")


def test_a_damaged_or_missing_token_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        Tokens(tmp_path / "none.bin", token_dtype(256))
    (tmp_path / "odd.bin").write_bytes(b"abc")
    with pytest.raises(UserError, match="damaged"):
        Tokens(tmp_path / "odd.bin", token_dtype(256))
    (tmp_path / "empty.bin").write_bytes(b"")
    assert len(Tokens(tmp_path / "empty.bin", token_dtype(256))) == 0
