import pytest
from hypothesis import given
from hypothesis import strategies as st

from screens.plot.plot_settings import FEWEST_STEPS, SMOOTHINGS, X_AXES, PlotSettings


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


def test_axes_and_smoothings_go_round() -> None:
    view = PlotSettings()
    seen = []
    for _ in X_AXES:
        seen.append(view.x)
        view = view.next_x()
    assert tuple(seen) == X_AXES
    assert view == PlotSettings()
    for _ in SMOOTHINGS:
        view = view.next_smoothing()
    assert view == PlotSettings()


def test_the_first_smoothing_is_the_history_s_own() -> None:
    from lab.runs.loss_history import LONGEST_SMOOTHING, SMOOTHED_SHARE

    assert SMOOTHINGS[0][1:] == (pytest.approx(SMOOTHED_SHARE), LONGEST_SMOOTHING)
