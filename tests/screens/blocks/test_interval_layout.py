"""The draw as a line from 0 to 1, on a grid of characters."""

import pytest
from rich.cells import cell_len

from lab.views.blocks import IntervalBar, IntervalPart
from screens.blocks.interval_layout import LaidIntervalBar, lay_interval_bar
from tests.screens.blocks.conftest import drawn

PARTS = [
    IntervalPart(" fast", 0.0, 0.5, "sample.after[3,1]"),
    IntervalPart(".", 0.5, 0.75, "sample.after[3,2]"),
    IntervalPart("others", 0.75, 0.9),
    IntervalPart("odd", 0.9, 0.901, "sample.after[3,9]"),
    IntervalPart("others", 0.901, 1.0),
]


def laid(mark: float, selected: int, width: int = 60) -> LaidIntervalBar:
    return lay_interval_bar(IntervalBar("laid end to end, from 0 to 1", PARTS, mark, f"u = {mark}", selected), width)


@pytest.mark.parametrize("width", [8, 20, 40, 60, 200])
def test_each_part_takes_its_share_of_the_line_and_nothing_is_wider(width: int) -> None:
    block = laid(0.6, 1, width)
    lines = drawn(block)
    assert all(cell_len(line) <= width for line in lines)
    bar = next(line for line in lines if "█" in line)
    assert len(bar) == width
    assert abs(bar.count("█") - 0.5 * width) <= 1
    assert abs(bar.count("░") - 0.249 * width) <= 1.5


@pytest.mark.parametrize(("mark", "selected"), [(0.0, 0), (0.4999, 0), (0.5, 1), (0.7499, 1), (0.9005, 3), (0.9999, 4)])
@pytest.mark.parametrize("width", [20, 53, 120])
def test_the_caret_stands_under_the_part_that_is_drawn(mark: float, selected: int, width: int) -> None:
    block = laid(mark, selected, width)
    caret = drawn(block)[-1]
    at = caret.index("▲")
    low, high = block.edges[selected], block.edges[selected + 1]
    assert low <= at < max(high, low + 1)
    assert PARTS[selected].label.strip() in caret or width < 25


def test_neighbours_differ_without_colour_and_names_stand_over_their_parts() -> None:
    names, bar = drawn(laid(0.6, 1, 60))[1:3]
    assert names.startswith("fast")
    assert names.index(".") == 30
    assert bar[29:31] == "█▓"


def test_the_cursor_walks_from_part_to_part() -> None:
    block = laid(0.6, 1, 60)
    assert (block.rows, block.columns, block.start()) == (1, 5, (0, 1))
    spot = block.spot(0, 1)
    assert (spot.ref, spot.value, spot.start) == ("sample.after[3,2]", 0.25, 30)
    assert spot.description == ". · from 0.5000 to 0.7500  zero-indexed: sample.after[3,2]  = 0.25"
