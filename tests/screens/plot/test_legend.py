"""The legend of a plot with every kind of event, at every width."""

from typing import get_args

import pytest

from lab.runs.run_schema import EventKind
from screens.plot.drawing import Drawn
from screens.plot.figure import EVENT_SIGNS, Figure, Series
from screens.plot.line_plot import EVENT_ORDER, legend

KINDS: tuple[EventKind, ...] = get_args(EventKind)


def test_every_kind_of_event_has_a_sign_and_a_turn() -> None:
    assert set(EVENT_SIGNS) == set(KINDS)
    assert sorted(EVENT_ORDER) == sorted(sign for sign, _ in EVENT_SIGNS.values())


@pytest.mark.parametrize("width", [20, 40, 80, 400])
def test_the_legend_fits_and_names_what_it_has_room_for(width: int) -> None:
    figure = Figure((Series("validation loss", "val", "marked", "val", (0.0,), (1.0,)),), version=0)
    text = "".join(piece for piece, _ in legend(figure, Drawn([], 0, 1, 0.0, 1.0, frozenset(), KINDS), width))
    assert len(text) <= max(width, len("⠤◆ val  "))
    assert ("≈ computed otherwise" in text) == (width == 400)
    assert "✗ skipped" in text, "what needs attention comes first"
