"""Vectors under each other: each number where its spot says, columns aligned, one scale; and long vectors as half blocks."""

import numpy as np
import pytest
from rich.cells import cell_len

from lab.views.blocks import Array, StackedStrips, Strip, View
from screens.blocks.block_layout import Line
from screens.blocks.strip_layout import LaidStackedStrips, LaidStrip, lay_stacked_strips, lay_strip
from screens.blocks.view_layout import lay_view
from screens.colour import MASKED_LEVEL, Heat, level_of
from tests.screens.blocks.conftest import text_of


def kinds_of(line: Line) -> list[str | Heat]:
    """The kind of each character right of the label."""
    return [kind for text, kind in line.pieces for _ in text]


def summed(size: int) -> StackedStrips:
    one, two = np.random.default_rng(3).normal(size=(2, size)).astype(np.float32)
    refs = ["embed[3]", "pos_embed[3]", "blocks.0.resid_pre[3]"]
    return StackedStrips("a + b = c", ["token", "+ position", "= stream"], Array.of(np.stack([one, two, one + two])), refs)


@pytest.mark.parametrize("paints", [True, False])
@pytest.mark.parametrize("width", [24, 47, 90, 190])
@pytest.mark.parametrize("size", [1, 16, 64, 768])
def test_every_number_stands_where_its_spot_says(size: int, width: int, paints: bool) -> None:
    strips = summed(size)
    values = strips.values.numpy()
    laid = lay_stacked_strips(strips, width, paints=paints)
    lines = [laid.line(y) for y in range(laid.height)]
    assert all(cell_len(text_of(line)) <= width for line in lines)
    for column in range(size):
        spots = [laid.spot(row, column) for row in range(3)]
        assert len({spot.start for spot in spots}) == 1
        assert [spot.line - spots[0].line for spot in spots] == [0, 1, 2]
        for row, spot in enumerate(spots):
            assert spot.value == values[row, column]
            assert spot.ref == f"{strips.refs[row][:-1]},{column}]"
            assert laid.at(spot.line, spot.start) == (row, column)
            assert text_of(lines[spot.line]).startswith(strips.labels[row][:5])
            if paints:
                kind = kinds_of(lines[spot.line])[spot.start - laid.pinned]
                assert isinstance(kind, Heat)
                assert kind.level == level_of(values[row, column] / laid.limit)
    assert laid.at(0, 0) is None


def test_strips_side_by_side_have_one_scale() -> None:
    small, large = summed(16), summed(16)
    large.values = Array.of(large.values.numpy() * 10)
    one, two = lay_stacked_strips(small, 60, large), lay_stacked_strips(large, 60, small)
    assert one.limit == two.limit == pytest.approx(np.abs(large.values.numpy()).max())


def test_the_cursor_starts_at_the_largest_number_of_the_sum() -> None:
    laid = lay_stacked_strips(summed(64), 60)
    assert laid.start() == (2, int(np.abs(laid.values[2]).argmax()))


@pytest.mark.parametrize("width", [30, 47, 90, 190])
@pytest.mark.parametrize("size", [256, 768, 3072, 301])
def test_a_long_vector_is_half_blocks_of_all_its_numbers(size: int, width: int) -> None:
    values = np.random.default_rng(4).normal(size=size).astype(np.float32)
    laid = lay_strip(Strip("v", Array.of(values), "blocks.0.mlp.post[3]"), width, paints=True)
    if laid.as_bars:
        return
    assert laid.height - len(laid.head) == -(-laid.rows // 2)
    lines = [laid.line(y) for y in range(laid.height)]
    assert all(cell_len(text_of(line)) <= width for line in lines)
    for index, value in enumerate(values.tolist()):
        row, column = divmod(index, laid.per_row)
        spot = laid.spot(row, column)
        kind = kinds_of(lines[spot.line])[spot.start - laid.pinned]
        assert isinstance(kind, Heat)
        assert (kind.below if spot.part == "lower" else kind.level) == level_of(value / laid.limit)
        assert spot.value == value
        assert spot.ref == f"blocks.0.mlp.post[3,{index}]"
    beyond = size % laid.per_row
    if beyond and laid.rows % 2 == 0:
        last = kinds_of(lines[-1])[-1]
        assert isinstance(last, Heat)
        assert last.below == MASKED_LEVEL


def test_a_second_click_on_a_half_block_takes_the_lower_number() -> None:
    values = np.arange(200, dtype=np.float32)
    laid = lay_strip(Strip("v", Array.of(values)), 50, paints=True)
    spot = laid.spot(0, 3)
    assert laid.at(spot.line, spot.start) == (0, 3)
    assert laid.at(spot.line, spot.start, (0, 3)) == (1, 3)
    assert laid.at(spot.line, spot.start, (1, 3)) == (0, 3)
    assert laid.at(0, 0) is None


def test_a_view_paints_strips_where_paper_shows_and_uses_glyphs_elsewhere() -> None:
    blocks = [summed(8), Strip("v", Array.of(np.ones(400)))]
    for paints in (True, False):
        stacked, long = lay_view(View("s", "t", "", list(blocks)), 50, paints=paints).blocks
        assert isinstance(stacked, LaidStackedStrips)
        assert isinstance(long, LaidStrip)
        for laid in (stacked, long):
            last = laid.line(laid.height - 1)
            assert any(isinstance(kind, Heat) for kind in kinds_of(last)) == paints
