"""The grid of tokens: width, numbers or levels, marks, and the places that its cells lead to."""

import numpy as np
import pytest

from lab.views.blocks import Array, Cell, Column, Destination, Table, TextGrid, View
from screens.blocks.block_layout import eighths_up
from screens.blocks.table_layout import lay_text_grid
from screens.blocks.view_layout import lay_view
from screens.colour import Heat
from tests.screens.blocks.conftest import drawn, text_of

VALUES = np.array([[0.9, 0.05], [0.0, 1.0]])


def grid(**changes: object) -> TextGrid:
    made = TextGrid(
        "logit lens",
        ["1 The", "2  cat"],
        ["embed", "layer 1"],
        [["cat", " sat"], ["a", "sat"]],
        Array.of(VALUES),
        [Destination("embed", None, None), Destination("resid_post", 0, None)],
        marked=[[False, True], [False, False]],
        marked_legend="underlined: the token that came next",
        first_position=4,
        selected=(1, 1),
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_numbers_where_there_is_room_else_levels() -> None:
    wide, narrow = lay_text_grid(grid(), 60), lay_text_grid(grid(), 22, paints=False)
    assert "cat  90%" in text_of(wide.below(0))
    assert "90%" not in text_of(narrow.below(0))
    assert "▇cat" in text_of(narrow.below(0))
    assert "▄ 50%  █ 100%" in text_of(narrow.head[0])
    assert "▇" not in text_of(lay_text_grid(grid(), 22).below(0))


@pytest.mark.parametrize("width", [16, 24, 40, 60, 120])
def test_columns_stand_under_their_labels_and_end_at_the_width(width: int) -> None:
    laid = lay_text_grid(grid(), width)
    assert all(len(line) == laid.width for line in drawn(laid)[len(laid.head) :])
    head = text_of(laid.head[-1])
    for column, label in enumerate(("embed", "1")):
        assert head[laid.pinned + column * laid.cell_width + 1 :].startswith((label, f"layer {label}"))


def test_cells_are_narrower_where_the_grid_is_then_whole_and_scroll_whole_where_not() -> None:
    whole, wider = lay_text_grid(grid(), 22), lay_text_grid(grid(), 16)
    assert (whole.cell_width, wider.cell_width) == (6, 8)
    assert whole.width <= 22 < wider.pinned + wider.width
    assert wider.cuts == (0, 8, 16)


def test_paper_is_the_probability_marks_need_no_colour_and_a_cell_leads_to_its_token_and_layer() -> None:
    laid = lay_text_grid(grid(), 60)
    kinds = [kind for piece, kind in laid.below(0).pieces if piece.strip() == "sat"]
    assert kinds == [Heat("sequential", 2, None, "selected")]
    assert "underlined: the token that came next" in "".join(map(text_of, laid.head))
    spot = laid.spot(1, 1)
    assert spot.destination == Destination("resid_post", 0, 5)
    assert "100" in spot.label
    assert laid.start() == (1, 1), "the cursor begins at the model's own prediction"


def test_anything_but_zero_shows() -> None:
    assert (eighths_up(0.0), eighths_up(0.001), eighths_up(1.0)) == (" ", "▁", "█")


def test_a_view_follows_the_selected_cell_of_the_grid_that_it_begins_with() -> None:
    table = Table([Column("token")], [[Cell("The", 1.0)]])
    for blocks, followed in (([grid()], (0, 1, 1)), ([grid(), table], (0, 1, 1)), ([table, grid()], None)):
        assert lay_view(View("lens", "", "", blocks), 60).followed() == followed
