"""Ticks of an axis, and the points of a curve that are drawn."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from screens.plot.draw_plot import even_scale, label_row, nice_ticks, thin


@given(st.floats(-1000, 1000, allow_nan=False), st.floats(0.01, 1000), st.integers(2, 12))
def test_ticks_are_round_even_and_inside(low: float, span: float, about: int) -> None:
    ticks = nice_ticks(low, low + span, about)
    assert 1 <= len(ticks) <= 2 * about + 2
    spacing = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    assert all(low - 1e-6 * span <= tick <= low + span + 1e-6 * span for tick in ticks)
    mantissa = spacing / 10 ** math.floor(math.log10(spacing) + 1e-9)
    assert min(abs(mantissa - nice) for nice in (1, 2, 5, 10)) < 1e-3


@given(st.floats(-100, 100, allow_nan=False), st.floats(1e-4, 1000), st.integers(2, 60))
def test_an_even_scale_shows_all_and_its_ticks_are_whole_rows_apart(low: float, span: float, rows: int) -> None:
    scale = even_scale(low, low + span, rows, max(2, min(rows * 2 // 5, 7)))
    assert scale.low <= low + 1e-5 * span
    assert scale.high >= low + span * (1 - 1e-5)
    assert len(scale.ticks) >= 2 or rows < 6
    dots = [(tick - scale.low) / scale.row * 4 for tick in scale.ticks]
    assert all(abs(dot - round(dot)) < 1e-3 for dot in dots), "on a braille dot"
    assert {round(b) - round(a) for a, b in pairwise(dots)} <= {4 * scale.rows_a_tick}
    spacing = scale.row * scale.rows_a_tick
    mantissa = spacing / 10 ** math.floor(math.log10(spacing) + 1e-9)
    assert min(abs(mantissa - nice) for nice in (1, 2, 5)) < 1e-6


def test_numbers_stand_under_their_marks_and_the_unit_gives_way() -> None:
    row = label_row([2, 20, 38], ["0", "200", "400"], "steps", 50)
    assert row == " " * 2 + "0" + " " * 16 + "200" + " " * 15 + "400 steps" + " " * 4
    row = label_row([2, 20, 38], ["0", "5,500", "6,000"], "steps", 40)
    assert row == " " * 2 + "0" + " " * 15 + "5,500 steps" + " " * 6 + "6,000"
    row = label_row([2, 9, 16], ["0", "5,500", "6,000"], "steps", 18)
    assert row == "  0    5,500 6,000", "no room for the unit"
    row = label_row([2, 17, 32], ["0", "1,000", "2,000"], "tokens read", 39)
    assert row == "  0            1,000        tokens read"


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
