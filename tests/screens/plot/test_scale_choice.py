"""The choice of the y axis: the scale that shows more."""

import numpy as np
import pytest

from screens.plot.plot_settings import PlotSettings, range_after_steep_part, shows_more_on_log

STEPS = np.arange(1, 1001, dtype=float)


def test_a_curve_that_ends_near_its_beginning_stays_linear_and_one_that_falls_far_becomes_logarithmic() -> None:
    assert not shows_more_on_log([(STEPS, 3.0 + 3.0 * np.exp(-STEPS / 60))])
    assert shows_more_on_log([(STEPS, 0.5 * STEPS**-0.1 + 6.0 * np.exp(-STEPS / 30))])


def test_both_curves_count() -> None:
    flat = 0.2 + 6.0 * np.exp(-STEPS / 30)
    assert shows_more_on_log([(STEPS, flat)])
    assert not shows_more_on_log([(STEPS, flat), ([500.0, 1000.0], [3.0, 6.0])]), "a rising validation loss uses the height"


@pytest.mark.parametrize("ys", [[], [2.0, 2.0, 2.0], [1.0, 0.0, 0.0], [3.0, -1.0, -2.0]])
def test_without_a_logarithm_it_is_linear(ys: list[float]) -> None:
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
