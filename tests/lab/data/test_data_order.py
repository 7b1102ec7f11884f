import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import UserError
from lab.data.data_order import TrainingBatches, ValidationWindows, counted_targets
from tests.fixture_types import MakeTokens


@given(st.integers(0, 40), st.integers(1, 300), st.integers(1, 20), st.integers(1, 9), st.data())
def test_each_validation_token_or_each_in_ranges_is_predicted_once_in_a_window_of_the_whole_part(
    make_tokens: MakeTokens, start: int, count: int, context: int, batch: int, data: st.DataObject
) -> None:
    count += start == 0
    part = make_tokens(5000), start, start + count, context, batch
    whole = list(ValidationWindows(*part))
    assert all(ids.shape == (batch, context) for ids, _ in whole[:-2])
    assert all(ids.shape[0] <= batch and ids.shape[1] <= context for ids, _ in whole)
    windows = {tuple(row) for ids, _ in whole for row in ids.tolist()}
    edges = sorted(data.draw(st.lists(st.integers(max(start, 1), start + count), min_size=2, max_size=8)))
    for ranges in (None, tuple(zip(edges[::2], edges[1::2], strict=False))):
        every = ((max(start, 1), start + count),) if ranges is None else ranges
        wanted = [id for begin, end in every for id in range(begin, end)]
        if not wanted:
            with pytest.raises(UserError, match="damaged"):
                ValidationWindows(*part, ranges)
            continue
        validation = ValidationWindows(*part, ranges)
        batches = list(validation)
        assert len(batches) == len(validation)
        assert [int(id) for _, targets in batches for id in targets.ravel() if id != -100] == wanted
        assert validation.tokens == len(wanted) == sum(counted_targets(targets) for _, targets in batches)
        assert [ids.tolist() for ids, _ in validation] == [ids.tolist() for ids, _ in batches], "each time the same"
        for ids, targets in batches:
            assert ids.shape == targets.shape
            assert ((targets == ids + 1) | (targets == -100)).all()
            assert {tuple(row) for row in ids.tolist()} <= windows
            assert (targets != -100).any(1).all(), "a window that counts nothing is not computed"


def test_parts_and_ranges_without_a_window_are_errors(make_tokens: MakeTokens) -> None:
    for ranges in ((), ((99, 120),), ((100, 301),), ((150, 140),), ((100, 160), (150, 170)), ((120, 120),)):
        with pytest.raises(UserError, match="damaged"):
            ValidationWindows(make_tokens(5000), 100, 300, 8, 4, ranges)
    with pytest.raises(UserError, match="validation"):
        ValidationWindows(make_tokens(5000), 100, 100, 8, 4)
    TrainingBatches(make_tokens(5000), 0, 33, 32, 4, 0).at(5)
    with pytest.raises(UserError, match="33"):
        TrainingBatches(make_tokens(5000), 0, 32, 32, 4, 0)


SHAPES = st.tuples(st.integers(0, 50), st.integers(2, 400), st.integers(1, 20), st.integers(1, 9), st.integers(-3, 2**70)).filter(
    lambda shape: shape[1] > shape[2]
)
"""Start, length, context, batch, seed."""


@given(SHAPES)
def test_every_window_once_an_epoch_and_never_the_validation_part(make_tokens: MakeTokens, shape: tuple[int, ...]) -> None:
    start, count, context, batch, seed = shape
    batches = TrainingBatches(make_tokens(5000), start, start + count, context, batch, seed)
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
    one = TrainingBatches(make_tokens(5000), start, start + count, context, batch, seed)
    for other in (step + 3, 0, step + 40, 1):
        one.at(other)
    ids, targets = one.at(step)
    fresh = TrainingBatches(make_tokens(5000), start, start + count, context, batch, seed).at(step)
    assert (ids == fresh[0]).all()
    assert (targets == fresh[1]).all()


def test_windows_are_shuffled_evenly_and_anew_in_each_epoch(make_tokens: MakeTokens) -> None:
    """Where the first window of an epoch lies, over 400 seeds, is uniform: chi-squared with 9 degrees of freedom, 0.1 % tail
    at 27.9."""
    firsts = [int(TrainingBatches(make_tokens(5000), 0, 5000, 10, 1, seed).at(0)[0][0, 0]) for seed in range(400)]
    counts = np.histogram(firsts, bins=10, range=(0, 5000))[0]
    assert ((counts - 40.0) ** 2 / 40.0).sum() < 27.9
    batches = TrainingBatches(make_tokens(5000), 0, 5000, 16, 1, 1)
    order = [int(batches.at(step)[0][0, 0]) for step in range(2 * batches.windows)]
    one, other = order[: batches.windows], order[batches.windows :]
    assert one != other
    assert min(one) != min(other), "the offset is another, too"


def test_the_order_is_the_same_on_every_machine(make_tokens: MakeTokens) -> None:
    batches = TrainingBatches(make_tokens(5000), 100, 4600, 32, 4, 1337)
    assert batches.at(0)[0][:, 0].tolist() == [3213, 1581, 1485, 3757]
    assert batches.at(1000)[0][:, 0].tolist() == [2413, 1677, 4141, 4013]


def test_an_epoch_is_as_many_tokens_as_the_part_has(make_tokens: MakeTokens) -> None:
    """Not as many as its windows hold: 109 times was said of a short text that had been gone through 99 times."""
    batches = TrainingBatches(make_tokens(5000), 0, 1024 + 32 + 1, 32, 4, 0)
    assert batches.windows == 32
    assert [batches.epoch(step) for step in (0, 8, 12)] == [0.0, 8 * 4 * 32 / 1057, 12 * 4 * 32 / 1057]
