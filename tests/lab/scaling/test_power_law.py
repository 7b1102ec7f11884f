"""Power laws: points made from a known law give its exponent back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.scaling.scaling_result import fit_power_law, log_interpolated


@given(
    scale=st.floats(0.1, 1e6),
    exponent=st.floats(-0.5, 1.5),
    floor=st.floats(0, 3),
    xs=st.lists(st.integers(0, 80), min_size=2, max_size=12, unique=True),
)
def test_points_of_a_law_give_it_back(scale: float, exponent: float, floor: float, xs: list[int]) -> None:
    points = [(x, floor + scale * x**-exponent) for x in (10 ** (each / 10) for each in xs)]
    if any(loss - floor < 1e-6 * loss for _, loss in points):
        return  # nothing is left of it in a float
    law = fit_power_law(points, floor)
    assert law is not None
    assert law.exponent == pytest.approx(exponent, abs=1e-6)
    assert law.misfit < 1e-6
    assert law.loss(points[0][0]) == pytest.approx(points[0][1])


def test_exponent_and_standard_error_are_those_of_numpy() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 9)
    xs = np.geomspace(1e4, 1e6, 9)
    losses = 0.3 + 20 * xs**-0.35 * np.exp(noise)
    law = fit_power_law(list(zip(xs.tolist(), losses.tolist(), strict=True)), 0.3)
    (slope, offset), covariance = np.polyfit(np.log(xs), np.log(losses - 0.3), 1, cov=True)
    assert law is not None
    assert law.exponent == pytest.approx(-slope)
    assert law.scale == pytest.approx(math.exp(offset))
    assert law.error == pytest.approx(math.sqrt(covariance[0, 0]))
    off = np.log(losses - 0.3) - (slope * np.log(xs) + offset)
    assert law.misfit == pytest.approx(float(np.sqrt(np.mean(off**2))))


def test_a_floor_that_is_not_subtracted_bends_the_line() -> None:
    points = [(x, 1.0 + 50 * x**-0.5) for x in (1e2, 1e3, 1e4, 1e5)]
    with_floor, without = fit_power_law(points, 1.0), fit_power_law(points)
    assert with_floor is not None
    assert without is not None
    assert with_floor.misfit < 1e-9
    assert without.misfit > 0.1
    assert without.exponent < with_floor.exponent


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(1.0, 2.0)],
        [(1.0, 2.0), (1.0, 3.0)],
        [(1.0, 2.0), (2.0, 0.5)],
        [(0.0, 2.0), (2.0, 1.5)],
        [(1.0, math.nan), (2.0, 1.5)],
    ],
)
def test_no_law_goes_through_too_few_points_or_below_the_floor(points: list[tuple[float, float]]) -> None:
    assert fit_power_law(points, floor=0.5) is None


def test_two_points_have_a_line_without_an_error() -> None:
    law = fit_power_law([(10.0, 1.0), (100.0, 0.1)])
    assert law is not None
    assert (law.exponent, law.error) == (pytest.approx(1.0), None)


def test_between_points_the_line_is_straight_in_log_log() -> None:
    xs, ys = [10.0, 1000.0], [4.0, 1.0]
    assert log_interpolated(xs, ys, 100.0) == pytest.approx(2.0)
    assert [log_interpolated(xs, ys, x) for x in xs] == pytest.approx(ys)
    assert log_interpolated(xs, ys, 9.9) is None
    assert log_interpolated(xs, ys, 1001.0) is None
    assert log_interpolated([], [], 1.0) is None
