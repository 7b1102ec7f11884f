"""Heatmap layout: numbers on paper, half blocks, largest of several; and the cursor that reads every number out."""

import math
import re
from functools import partial

import numpy as np
import pytest
from rich.cells import cell_len

from lab.views.blocks import Array, Matrix, View
from screens.blocks.matrix_layout import LaidHeatmap, lay_matrix, pooled
from screens.blocks.view_layout import lay_view
from screens.colour import HALF_BLOCK, LEVELS, MASKED_LEVEL, Heat, level_of
from tests.screens.blocks.conftest import text_of

lay_heatmap = partial(lay_matrix, paints=True)


def pattern(size: int, seed: int = 0) -> np.ndarray:
    """An attention pattern: rows sum to 1, the future is masked."""
    scores = np.random.default_rng(seed).normal(size=(size, size)) * 2
    shares = np.exp(scores) * np.tri(size)
    shares /= shares.sum(1, keepdims=True)
    return np.where(np.tri(size) > 0, shares, np.nan).astype(np.float32)


def matrix(values: np.ndarray, **more: object) -> Matrix:
    labels = [f"{n + 1} w{n}" for n in range(max(values.shape))]
    name = "blocks.0.attn.pattern[1]"
    return Matrix("m", labels[: len(values)], labels[: values.shape[1]], Array.of(values), ref=name, **more)  # type: ignore[arg-type]


def shares(size: int, selected: tuple[int, int] | None = None) -> Matrix:
    return matrix(pattern(size), scale="sequential", limit=1.0, selected=selected)


def cells_of(laid: LaidHeatmap, y: int) -> list[tuple[str, str | Heat]]:
    """The characters of a line right of its label, each with its kind."""
    return [(letter, kind) for text, kind in laid.line(y).pieces for letter in text]


@pytest.mark.parametrize("width", [24, 40, 52, 90, 160])
@pytest.mark.parametrize("size", [3, 12, 25, 64, 200])
@pytest.mark.parametrize("signed", [False, True])
def test_every_number_is_drawn_where_its_spot_says_in_its_colour(width: int, size: int, signed: bool) -> None:
    values = np.random.default_rng(1).normal(size=(size, size)).astype(np.float32) if signed else pattern(size)
    laid = lay_heatmap(matrix(values) if signed else shares(size), width)
    assert laid.width <= width
    assert all(cell_len(text_of(laid.line(y))) <= width for y in range(laid.height))
    down, across = laid.pooled
    shown = pooled(values, down, across)
    for row in range(0, size, max(1, size // 9)):
        cells = None
        for column in range(size):
            spot = laid.spot(row, column)
            assert spot.ref == f"blocks.0.attn.pattern[1,{row},{column}]"
            value = float(shown[row // down, column // across])
            assert bool(spot.masked) == math.isnan(values[row, column])
            assert spot.masked or spot.value == values[row, column]
            cells = cells or cells_of(laid, spot.line)
            kind = cells[spot.start - laid.pinned][1]
            level = level_of(value / laid.limit)
            if isinstance(kind, Heat):
                drawn = kind.below if spot.part == "lower" else kind.level
                assert drawn == level
            else:
                assert level == MASKED_LEVEL
            assert (spot.part == "cell") == (laid.rows_each == 1)


def test_wide_cells_have_numbers_and_narrow_ones_are_half_blocks() -> None:
    exact, whole, plain, half = (lay_heatmap(shares(size), 60) for size in (8, 14, 22, 40))
    assert [laid.cell_width for laid in (exact, whole, plain, half)] == [6, 3, 2, 1]
    assert "100" in text_of(exact.below(0))
    assert f"{pattern(8)[1, 0] * 100:.1f}" in text_of(exact.below(1))
    assert f"{pattern(14)[1, 0] * 100:.0f}" in text_of(whole.below(1))
    assert plain.format is None
    assert half.height == len(half.head) + 20
    assert HALF_BLOCK in text_of(half.line(half.height - 1))


def test_where_columns_do_not_fit_a_cell_is_the_largest_of_several_and_says_so() -> None:
    laid = lay_heatmap(shares(200), 90)
    assert laid.pooled == (3, 3)
    assert "largest of 3×3" in " ".join(map(text_of, laid.head))
    assert laid.levels.shape == (67, 67)
    signed = lay_heatmap(matrix(-pattern(200)), 90)
    assert "largest |x| of 3×3" in " ".join(text_of(line) for line in signed.head)


def test_pooling_keeps_the_number_with_the_largest_magnitude_and_its_sign() -> None:
    values = np.array([[1.0, -3.0, 2.0], [np.nan, 0.5, np.nan], [np.nan, np.nan, 7.0]], dtype=np.float32)
    np.testing.assert_array_equal(pooled(values, 2, 2), np.array([[-3.0, 2.0], [np.nan, 7.0]], dtype=np.float32))


def test_a_scale_says_its_ends() -> None:
    heads = [text_of(lay_heatmap(each, 90).head[0]) for each in (shares(12), matrix(pattern(12) - 0.5), matrix(pattern(12) / 2))]
    assert "0%  " in heads[0]
    assert "  100%" in heads[0]
    assert "−0.5" in heads[1]
    assert "0.50" in heads[2]
    assert lay_heatmap(shares(12), 90).scale == "sequential"
    assert lay_heatmap(matrix(pattern(12) - 0.5), 90).scale == "diverging"
    assert lay_heatmap(matrix(pattern(12), scale="diverging"), 90).scale == "diverging"


def test_two_heatmaps_side_by_side_have_one_scale() -> None:
    small, large = matrix(np.full((3, 3), 0.5, dtype=np.float32)), matrix(np.full((4, 4), -8, dtype=np.float32))
    one, two = lay_heatmap(small, 60, large), lay_heatmap(large, 60, small)
    assert one.limit == two.limit == 8.0
    assert one.scale == two.scale == "diverging"
    assert (one.cell_width, one.label_width, one.pinned) == (two.cell_width, two.label_width, two.pinned)
    assert one.levels[0, 0] == LEVELS // 16


@pytest.mark.parametrize("size", [12, 40, 200])
def test_the_selected_row_is_marked_and_its_half_too(size: int) -> None:
    for row in (4, 5):
        laid = lay_heatmap(shares(size, (row, 0)), 60)
        marked = [y for y in range(len(laid.head), laid.height) if text_of(laid.line(y)).startswith("▸")]
        assert marked == [laid.spot(row, 0).line]
        text = text_of(laid.line(marked[0]))
        assert f"{row + 1} w{row}" in text
        half = {"cell": " ", "upper": "▀", "lower": "▄"}[laid.spot(row, 0).part]
        assert text[1] == half


@pytest.mark.parametrize("size", [12, 40, 200])
def test_a_click_finds_what_is_drawn_there_and_a_second_one_the_other_half(size: int) -> None:
    page = lay_view(View("s", "t", "words", [shares(size)]), 60, paints=True)
    laid = page.blocks[1]
    assert isinstance(laid, LaidHeatmap)
    row, column = size - 2, size // 2
    spot = page.spot((1, row, column))
    first = page.at(spot.line, spot.start, 0)
    assert first is not None
    assert page.spot(first).line == spot.line
    assert page.spot(first).start == spot.start
    again = page.at(spot.line, spot.start, 0, first)
    assert again is not None
    assert {page.spot(first).part, page.spot(again).part} == ({"cell"} if laid.rows_each == 1 else {"upper", "lower"})
    assert page.at(spot.line, 1, 0) is None
    assert page.at(0, spot.start, 0) is None


def test_a_cursor_stays_on_its_number_by_name() -> None:
    values = Matrix("m", ["a"] * 4, ["a"] * 4, Array.of(pattern(4)), ref="blocks.0.attn.pattern[1,8:,8:]")
    laid = lay_heatmap(values, 60)
    assert laid.find("blocks.0.attn.pattern[1,10,9]") == (2, 1)
    assert laid.find("blocks.0.attn.pattern[1,7,9]") is None
    assert laid.find("blocks.0.attn.pattern[2,10,9]") is None
    assert lay_heatmap(shares(4), 60).find("blocks.0.attn.pattern[1,3,2]") == (3, 2)


def test_without_paper_a_view_is_drawn_in_glyphs() -> None:
    page = lay_view(View("s", "t", "words", [shares(12)]), 60)
    kinds = {kind for y in range(page.height) for _, kind in (*page.line(y)[0].pinned, *page.line(y)[0].pieces)}
    assert not any(isinstance(kind, Heat) for kind in kinds)
    assert any("░▒▓█" in text_of(page.line(y)[0]) for y in range(page.height))


@pytest.mark.parametrize("width", [50, 90, 140, 250])
@pytest.mark.parametrize("paints", [False, True])
def test_the_columns_of_a_thinned_axis_have_the_numbers_of_its_rows(width: int, paints: bool) -> None:
    labels = [str(number) for number in range(1, 129, 2)]
    values = np.random.default_rng(3).uniform(-1, 1, (64, 64)).astype(np.float32)
    thinned = Matrix("m", labels, labels, Array.of(values), scale="diverging", stride=2, selected=(3, 40))
    laid = (lay_heatmap if paints else lay_matrix)(thinned, width)
    head = text_of(laid.header)
    assert "▾81" in head
    for found in re.finditer(r"\d+", head.replace("▾", " ")):
        column = (int(found[0]) - 1) // 2
        spot = laid.spot(0, column)
        assert labels[column] == found[0]
        assert spot.start <= found.end()
        assert found.start() <= spot.start + spot.width
