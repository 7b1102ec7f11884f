"""Matrices side by side under one cursor: cells, windows, the numbers that they read out."""

import numpy as np
import pytest
from msgspec import structs
from rich.cells import cell_len

from lab.views.blocks import Array, Cell, Column, Matrix, MatrixPanels, Paragraph, Table, View
from screens.blocks.block_layout import Laid
from screens.blocks.matrix_layout import LaidHeatmap, LaidMatrix
from screens.blocks.matrix_panels_layout import (
    CELL_WIDTHS,
    FEWEST,
    HEAD,
    LaidMatrixPanels,
    around_place,
    fitting,
    lay_matrix_panels,
)
from screens.blocks.view_layout import lay_view
from screens.colour import Heat
from tests.screens.blocks.conftest import text_of


def panels(size: int, selected: tuple[int, int] | None = None) -> MatrixPanels:
    raw = np.array([[float(10 * row - column) for column in range(size)] for row in range(size)])
    masked = np.where(np.triu(np.ones((size, size)), 1) > 0, np.nan, raw / 4)
    pattern = np.exp(masked - np.nanmax(masked, axis=1, keepdims=True))
    pattern /= np.nansum(pattern, axis=1, keepdims=True)
    rows = [f"{index + 1} token" for index in range(size)]
    columns = ["token"] * size

    def matrix(title: str, values: np.ndarray, *scale: object) -> Matrix:
        return Matrix(title, rows, columns, Array.of(values), "", f"{title}[0]", selected or (size - 1, 0), *scale)  # type: ignore[arg-type]

    return MatrixPanels([matrix("raw", raw), matrix("scaled", masked), matrix("pattern", pattern, "sequential", 1.0)], 2)


def lay(size: int, width: int, *, paints: bool = True, panel: int = 0, selected: tuple[int, int] | None = None) -> Laid:
    return lay_matrix_panels(panels(size, selected), width, None, paints, panel)


def together(size: int, width: int, **given: bool) -> LaidMatrixPanels:
    laid = lay(size, width, **given)
    assert isinstance(laid, LaidMatrixPanels)
    return laid


@pytest.mark.parametrize("width", [70, 83, 120, 150, 200])
@pytest.mark.parametrize("size", [1, 4, 11, 64])
@pytest.mark.parametrize("paints", [True, False])
def test_every_line_fits(size: int, width: int, paints: bool) -> None:
    laid = lay(size, width, paints=paints)
    if isinstance(laid, LaidMatrixPanels):
        assert laid.width <= width
        assert {cell_len(text_of(laid.line(y))) for y in range(laid.height)} <= {laid.width - 1, laid.width}


@pytest.mark.parametrize("paints", [True, False])
def test_the_scale_and_the_number_over_a_narrow_matrix_are_whole_or_left_out(paints: bool) -> None:
    for size, width in ((size, width) for size in (1, 2, 3, 4, 6, 11) for width in range(25, 70)):
        laid = lay(size, width, paints=paints)
        if isinstance(laid, LaidMatrixPanels):
            for line in (text_of(laid.line(y)) for y in (1, 2)):
                parts = [line[start + 1 :][:wide] for start, wide in zip(laid.starts, laid.widths, strict=True)]
                assert not any(part.rstrip().endswith("…") for part in parts), (size, width, line)
    assert text_of(together(6, 45).line(1)).split()[:2] == ["±50", "0…12"]


def test_largest_gets_the_widest_cells() -> None:
    for room in (60, 100, 150):
        found = fitting(CELL_WIDTHS, room, 11, 2)
        assert found is not None
        largest, other, in_sight = found
        assert largest > other
        assert 11 * (largest + 2 * other) <= room
        assert in_sight == 11
    assert fitting(CELL_WIDTHS, 4 * FEWEST - 1, 64, 2) is None
    assert fitting(CELL_WIDTHS, 4 * FEWEST, 64, 2) == (2, 1, FEWEST)


def test_cursor_stands_on_the_same_place_of_all_and_each_reads_its_number_out() -> None:
    laid = together(11, 120)
    assert laid.point((5, 2)) == range(HEAD)
    assert text_of(laid.line(2)).split() == ["6", "→", "3", "48.00", "12.00", "17.3%"]
    spot = laid.spot(5, 2)
    assert spot.ref == "pattern[0,5,2]"
    spans = [*spot.also, (spot.start, spot.width)]
    assert [start for start, _ in spans] == [
        start + 1 + 2 * width for start, width in zip(laid.starts, laid.cell_widths, strict=True)
    ]
    for start, width in spans:
        for x in (start, start + width - 1):
            assert laid.at(spot.line, x) == (5, 2)
    laid.point((2, 8))
    assert text_of(laid.line(2)).split() == ["3", "→", "9", "12.00", "masked", "masked"], "raw scores are not masked"
    assert laid.spot(2, 8).masked
    laid.matrices[2].masked = "NaN"
    assert (text_of(laid.line(2)).split()[-1], laid.spot(2, 8).description.split()[-1]) == ("NaN", "NaN"), "another word for it"
    laid.matrices[2].masked = "masked"
    laid.point((5, 2))
    assert laid.at(HEAD - 1, spot.start) is None
    assert laid.at(spot.line, 0) is None
    assert text_of(laid.line(2)) != (laid.point(None), text_of(laid.line(2)))[1]


def test_a_window_follows_the_cursor_and_is_said() -> None:
    laid = together(64, 83)
    assert laid.in_sight < 64
    assert laid.point((63, 40)) == range(laid.height)
    assert laid.first <= 40 < laid.first + laid.in_sight
    first, last = laid.first + 1, laid.first + laid.in_sight
    assert text_of(laid.line(0)).startswith(f"{first}–{last} of 64"[: laid.pinned - 1])
    assert f"▾{41}" in text_of(laid.line(HEAD - 1))
    assert laid.point((63, 41)) in (range(HEAD), range(laid.height))
    moves = {(0, 3): 0, (0, 9): 1, (0, 29): 20, (20, 15): 14, (20, 0): 0}
    assert {at: around_place(*at, 10, 30) for at in moves} == moves, "it moves the least that shows the place"


@pytest.mark.parametrize("width", [70, 83, 120, 200])
@pytest.mark.parametrize("size", [3, 11, 64])
def test_numbers_of_columns_never_run_into_the_mark(size: int, width: int) -> None:
    laid = lay(size, width)
    for column in range(size):
        laid.point((size - 1, column))
        if isinstance(laid, LaidMatrixPanels):
            words = text_of(laid.line(HEAD - 1)).split()
            assert words.count(f"▾{column + 1}") == 3
            assert all(word.isdecimal() for word in words if word not in ("key", "→", f"▾{column + 1}"))


@pytest.mark.parametrize("tokens", [range(1), range(5, 11)], ids=["fewer rows", "more rows"])
@pytest.mark.parametrize("width", [80, 120])
def test_columns_that_are_no_keys_have_their_own_numbers(tokens: range, width: int) -> None:
    rows, columns = [f"{token + 1:>2} token" for token in tokens], ["1", "2", "3", "4"]
    matrix = Matrix("m", rows, columns, Array.of(np.ones((len(rows), 4))), selected=(0, 3))
    laid = lay_matrix_panels(MatrixPanels([matrix] * 3, 0, columns="layer"), width, None, True, 0)
    assert isinstance(laid, LaidMatrixPanels)
    assert text_of(laid.line(HEAD - 1)).split() == ["layer", "→", *["1", "2", "3", "▾4"] * 3]
    assert text_of(laid.line(2)).split()[:3] == [f"{tokens[0] + 1}", "→", "4"]
    laid.point((0, 1))
    assert text_of(laid.line(2)).split()[:3] == [f"{tokens[0] + 1}", "→", "2"]


def test_colours_are_the_scales_and_glyphs_replace_them() -> None:
    painted, plain = together(11, 120), together(11, 120, paints=False)
    scales = {kind.scale for y in range(HEAD, painted.height) for _, kind in painted.line(y).pieces if isinstance(kind, Heat)}
    assert scales == {"diverging", "sequential"}
    assert not any(isinstance(kind, Heat) for y in range(plain.height) for _, kind in plain.line(y).pieces)
    assert "█" in text_of(plain.line(HEAD + 10))


def test_panels_take_turns_as_their_room_allows() -> None:
    def turns(size: int, width: int, count: int, *, paints: bool = True) -> list[type[Laid]]:
        return [type(lay(size, width, panel=panel, paints=paints)) for panel in range(count)]

    assert turns(11, 120, 5) == [LaidMatrixPanels, LaidHeatmap, LaidHeatmap, LaidHeatmap, LaidMatrixPanels], "all, then each"
    assert turns(11, 50, 4) == [LaidHeatmap] * 4
    titles = []
    for panel in range(4):
        laid = lay(11, 50, panel=panel)
        assert isinstance(laid, LaidHeatmap)
        titles.append(laid.matrix.title)
    first = "pattern · v shows raw, then scaled"
    assert titles == [first, "raw · v shows scaled, then pattern", "scaled · v shows pattern, then raw", first]
    for paints in (True, False):
        alone = lay(8, 51, paints=paints)
        assert isinstance(alone, LaidMatrix)
        assert turns(8, 51, 4, paints=paints) == [*[type(alone)] * 3, LaidMatrixPanels]
        title = "pattern · v shows raw, then scaled, then all"
        assert (alone.matrix.title, alone.format is not None) == (title, True), "numbers that have room only alone"


def test_columns_have_all_their_numbers_or_those_of_a_ruler() -> None:
    for size, width, panel, numbers in ((4, 120, 0, "1 ▾2 3 4"), (11, 120, 0, "1 ▾2 3 4 5 6 7 8 9 10 11"), (8, 51, 3, "1 ▾2 6")):
        laid = lay(size, width, panel=panel, selected=(size - 1, 1))
        assert isinstance(laid, LaidMatrixPanels)
        line = text_of(laid.line(HEAD - 1))[laid.starts[2] :]
        assert " ".join(line.split()) == numbers


def test_those_beside_have_the_same_scale() -> None:
    one, other = panels(4), panels(11)
    laid = lay_matrix_panels(one, 120, other, True, 0)
    assert isinstance(laid, LaidMatrixPanels)
    assert laid.limits[0] == 100.0
    assert laid.limits[2] == 1.0


def test_head_stays_while_the_rows_scroll_beneath_it() -> None:
    view = View("matrix", "title", "A sentence.", [panels(40), Paragraph("Below.")])
    page = lay_view(view, 120, paints=True)
    first = page.tops[1]
    assert not page.stuck_at(0)
    assert not page.stuck_at(first)
    assert page.stuck_at(first + 1) == page.stuck_at(first + 20) == range(first, first + HEAD)
    last = first + page.blocks[1].height - 1
    assert page.stuck_at(last) == range(first, first + 1)
    assert not page.stuck_at(last + 1)


@pytest.mark.parametrize(("row", "window"), [(63, 20), (63, 15), (40, 20), (40, 50)])
def test_a_table_below_is_in_sight_with_the_selected_row_where_both_fit(row: int, window: int) -> None:
    table = Table([Column(""), Column("")], [[Cell("1 token"), Cell("50%", 0.5, "", 0.5)]] * 9, title="the row")
    view = View("matrix", "", "A sentence.", [panels(64, (row, 0)), table])
    page = lay_view(view, 120, None, True)
    selected = page.followed()
    assert selected is not None
    line, end = page.spot(selected).line, page.tops[-1] + 9
    lines_between = 64 - row
    fits = 4 + lines_between + 1 + 10 < window
    assert page.end_with_table_below(selected, window) == (end if fits else line)
    assert fits == ((row, window) in ((63, 20), (40, 50)))
    alone = lay_view(structs.replace(view, blocks=view.blocks[:1]), 120, None, True)
    assert alone.end_with_table_below(selected, window) == line
