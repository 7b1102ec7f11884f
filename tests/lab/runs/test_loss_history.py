import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.runs.loss_history import LONGEST_SMOOTHING, SMOOTHED_SHARE, SPEED_STEPS, History, nice_ticks, thin
from lab.runs.run_schema import Metric


def metric(step: int, loss: float | None = None, val_loss: float | None = None) -> Metric:
    return Metric(step=step, tokens=step * 8, epoch=step / 10, seconds=float(step), loss=loss, val_loss=val_loss)


@given(st.lists(st.floats(-100, 100, allow_nan=False), min_size=1, max_size=400), st.integers(1, 30))
def test_thinning_keeps_the_lowest_and_the_highest_of_every_stretch(ys: list[float], buckets: int) -> None:
    xs = [float(x) for x in range(len(ys))]
    thin_xs, thin_ys = thin(xs, ys, buckets)
    assert len(thin_xs) <= max(2 * buckets, 1)
    assert thin_xs == sorted(thin_xs)
    assert all(ys[int(x)] == y for x, y in zip(thin_xs, thin_ys, strict=True))
    assert (min(thin_ys), max(thin_ys)) == (min(ys), max(ys))
    if len(ys) > 2 * buckets:
        width = (len(ys) - 1) / buckets
        for bucket in range(buckets):
            end = math.inf if bucket == buckets - 1 else (bucket + 1) * width
            inside = [y for x, y in zip(xs, ys, strict=True) if bucket * width <= x < end]
            kept = [y for x, y in zip(thin_xs, thin_ys, strict=True) if bucket * width <= x < end]
            if inside and kept:
                assert (min(kept), max(kept)) == (min(inside), max(inside))


def test_one_spike_among_a_million_steps_is_not_thinned_away() -> None:
    ys = [2.0] * 1_000_000
    ys[654_321] = 9.0
    xs, thinned = thin(range(1_000_000), ys, 80)
    assert (654_321.0, 9.0) in set(zip(xs, thinned, strict=True))


def test_the_smoothed_line_is_the_running_mean_it_says_it_is() -> None:
    history = History()
    losses = [5.0 / (1 + step / 50) + math.sin(step) for step in range(3000)]
    history.add([metric(step, loss) for step, loss in enumerate(losses)])
    expected = losses[0]
    for count, loss in enumerate(losses, 1):
        expected += (loss - expected) / min(max(1, count * SMOOTHED_SHARE), LONGEST_SMOOTHING)
        assert history.smooth[count - 1] == pytest.approx(expected)
    assert history.smooth[0] == losses[0]


def test_history_keeps_the_latest_of_each_kind_and_the_best_evaluation() -> None:
    history = History()
    assert not history.add([])
    assert history.add([metric(0, None, 7.0), metric(1, 6.0), metric(2, 5.0, 4.0), metric(3, 4.5), metric(4, None, 4.2)])
    assert (history.latest, history.last_training, history.last_evaluation, history.best_evaluation) == (
        metric(4, None, 4.2),
        metric(3, 4.5),
        metric(4, None, 4.2),
        metric(2, 5.0, 4.0),
    )
    assert list(history.steps) == [1, 2, 3]
    assert list(history.eval_steps) == [0, 2, 4]
    before = history.version
    history.add([metric(5, 4.0)])
    assert history.version > before
    history.clear()
    assert not history.steps
    assert history.best_evaluation is None


@given(st.floats(-1000, 1000, allow_nan=False), st.floats(0.01, 1000), st.integers(2, 12))
def test_ticks_are_round_even_and_inside(low: float, span: float, about: int) -> None:
    ticks = nice_ticks(low, low + span, about)
    assert 1 <= len(ticks) <= 2 * about + 2
    spacing = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    assert all(low - 1e-6 * span <= tick <= low + span + 1e-6 * span for tick in ticks)
    mantissa = spacing / 10 ** math.floor(math.log10(spacing) + 1e-9)
    assert min(abs(mantissa - nice) for nice in (1, 2, 5, 10)) < 1e-3


def test_the_speed_is_a_mean_that_one_slow_step_does_not_upset() -> None:
    history = History()
    assert history.speed is None
    history.add([metric(0, None, 3.0)])
    assert history.speed is None
    fast = Metric(step=1, tokens=0, epoch=0.0, seconds=0.0, loss=3.0, tokens_per_second=1000.0)
    history.add([fast] * 30)
    assert history.speed == pytest.approx(1000.0)
    history.add([Metric(step=2, tokens=0, epoch=0.0, seconds=0.0, loss=3.0, tokens_per_second=100.0)])
    assert history.speed == pytest.approx(1000.0 - 900.0 / SPEED_STEPS)


@pytest.mark.parametrize(("share", "longest"), [(1 / 5, 1000), (1 / 100, 20), (SMOOTHED_SHARE, LONGEST_SMOOTHING)])
def test_another_smoothing_goes_on_where_it_was(share: float, longest: int) -> None:
    history = History()
    losses = [5.0 / (1 + step / 50) + math.sin(step) for step in range(400)]
    history.add([metric(step, loss) for step, loss in enumerate(losses[:150])])
    history.smoothed(share, longest)
    history.add([metric(step, loss) for step, loss in enumerate(losses[150:], 150)])
    expected = losses[0]
    for count, (loss, smooth) in enumerate(zip(losses, history.smoothed(share, longest), strict=True), 1):
        expected += (loss - expected) / min(max(1, count * share), longest)
        assert smooth == pytest.approx(expected)


def test_columns_of_a_step_go_together_and_what_is_missing_is_no_number() -> None:
    history = History()
    history.add([metric(0, None, 7.0), Metric(step=1, tokens=8, epoch=0.1, seconds=2.5, loss=3.0, lr=0.5), metric(2, 1.0)])
    assert list(history.seconds) == [2.5, 2.0]
    assert history.rates[0] == 0.5
    assert math.isnan(history.rates[1])
    assert all(math.isnan(norm) for norm in history.grad_norms)
    assert (history.lowest_smooth_step, history.lowest_smooth) == (2, 1.0)
