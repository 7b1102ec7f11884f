import math

from hypothesis import given
from hypothesis import strategies as st

from screens.plot.drawing import thin


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
