"""Settings of a plot: its windows, axes and smoothings, and the scale of y that shows more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screens.plot.plot_settings import FEWEST_STEPS, SMOOTHINGS, PlotSettings, range_after_steep_part, shows_more_on_log

STEPS = np.arange(1, 1001, dtype=float)


def test_it_follows_the_run_until_it_is_moved_back() -> None:
    view = PlotSettings().zoomed(0.5, 1000.0)
    assert view.follows
    assert view.window(1000.0) == (500.0, 1000.0)
    assert view.window(2000.0) == (1000.0, 2000.0)
    back = view.panned(-0.5, 1000.0)
    assert back.window(1000.0) == back.window(2000.0) == (250.0, 750.0)
    assert back.panned(0.5, 1000.0).follows
    assert back.following(1.0).window(1000.0) == (0.0, 1000.0)


def test_the_step_that_is_zoomed_about_keeps_its_place() -> None:
    view = PlotSettings().zoomed(0.5, 1000.0, about=250.0)
    assert view.window(1000.0) == (125.0, 625.0)
    assert view.zoomed(2.0, 1000.0).window(1000.0) == (0.0, 1000.0)


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.5, 2.0, -0.5]), st.floats(0, 1)), max_size=20),
    st.floats(1, 1e6),
)
def test_the_window_never_leaves_the_run(moves: list[tuple[bool, float, float]], latest: float) -> None:
    view = PlotSettings()
    for zoom, by, place in moves:
        view = view.zoomed(abs(by), latest, place * latest) if zoom else view.panned(by, latest)
        first, last = view.window(latest)
        assert -1e-6 * latest <= first <= last <= latest * (1 + 1e-9)
        assert last - first >= min(FEWEST_STEPS, latest) * (1 - 1e-9)


def test_the_first_smoothing_is_the_history_s_own() -> None:
    from lab.runs.run_history import LONGEST_SMOOTHING, SMOOTHED_SHARE

    assert SMOOTHINGS[0][1:] == (pytest.approx(SMOOTHED_SHARE), LONGEST_SMOOTHING)


def test_curves_that_fall_far_are_logarithmic_and_those_that_end_near_their_beginning_or_have_no_logarithm_linear() -> None:
    flat = 0.2 + 6.0 * np.exp(-STEPS / 30)
    assert shows_more_on_log([(STEPS, 0.5 * STEPS**-0.1 + 6.0 * np.exp(-STEPS / 30))])
    assert shows_more_on_log([(STEPS, flat)])
    assert not shows_more_on_log([(STEPS, flat), ([500.0, 1000.0], [3.0, 6.0])]), "a rising validation loss uses the height"
    assert not shows_more_on_log([(STEPS, 3.0 + 3.0 * np.exp(-STEPS / 60))])
    for ys in ([], [2.0, 2.0, 2.0], [1.0, 0.0, 0.0], [3.0, -1.0, -2.0]):
        assert not shows_more_on_log([(range(len(ys)), ys)])


def test_a_close_up_leaves_out_the_steep_part() -> None:
    assert range_after_steep_part([([0.0, 10.0, 50.0, 100.0], [9.0, 5.0, 3.0, 2.0])]) == (2.0, 3.0)
    assert range_after_steep_part([]) is None


def test_the_key_takes_the_other_scale_and_the_automatic_one_where_that_is_the_same() -> None:
    view = PlotSettings()
    assert view.log_y is None
    log = view.next_scale(shown=False, auto=False)
    assert log.log_y is True
    assert log.next_scale(shown=True, auto=False).log_y is None
    assert log.next_scale(shown=True, auto=True).log_y is False


@pytest.mark.parametrize("log_y", [False, True])
def test_zooming_on_y_keeps_the_value_under_the_mouse(log_y: bool) -> None:
    view = PlotSettings().zoomed_y(0.5, (1.0, 9.0), 3.0, log_y=log_y)
    assert view.y_window == pytest.approx((3**0.5, 27**0.5) if log_y else (2.0, 6.0))
    assert view.y_zoomed
    assert view.next_y() == view.whole() == PlotSettings()
    assert PlotSettings().next_y().y_close
