import math

from hypothesis import given
from hypothesis import strategies as st

from screens.plot.axis_ticks import nice_ticks


@given(st.floats(-1000, 1000, allow_nan=False), st.floats(0.01, 1000), st.integers(2, 12))
def test_ticks_are_round_even_and_inside(low: float, span: float, about: int) -> None:
    ticks = nice_ticks(low, low + span, about)
    assert 1 <= len(ticks) <= 2 * about + 2
    spacing = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    assert all(low - 1e-6 * span <= tick <= low + span + 1e-6 * span for tick in ticks)
    mantissa = spacing / 10 ** math.floor(math.log10(spacing) + 1e-9)
    assert min(abs(mantissa - nice) for nice in (1, 2, 5, 10)) < 1e-3
