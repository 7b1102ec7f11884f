"""Bars that grow to both sides of an axis: their side and their filling tell the sign without colour."""

import numpy as np
import pytest

from lab.views.blocks import Cell, Column, Table
from screens.blocks.bars_and_shades import column_glyphs, signed_bar
from screens.blocks.table_layout import lay_table
from screens.colour import LEAST_INK, LEAST_SIGNED_INK, LEVELS, MASKED_LEVEL, Heat
from tests.screens.blocks.conftest import drawn


def test_a_signed_bar_stands_beside_its_axis() -> None:
    fractions = (1.0, 0.5, -1.0, -0.5, -0.01, -0.1, -0.24, -0.3, 0.01, 0.0)
    assert [signed_bar(fraction, 9) for fraction in fractions] == [
        *("    │████", "    │██", "▒▒▒▒│", "  ▒▒│", "   ▕│", "   ▐│", "   ▒│", "  ▕▒│", "    │▏", "    │"),
    ]


@pytest.mark.parametrize("width", [9, 21, 41])
def test_a_negative_bar_is_as_long_as_its_number_to_a_quarter_of_a_cell(width: int) -> None:
    half = (width - 1) // 2
    lengths = []
    for thousandth in range(1, 1001):
        drawn = signed_bar(-thousandth / 1000, width)
        assert (len(drawn), drawn[half]) == (half + 1, "│")
        lengths.append(sum({"▒": 1.0, "▐": 0.5, "▕": 0.125, " ": 0.0}[glyph] for glyph in drawn[:half]))
        assert lengths[-1] > 0
        assert abs(lengths[-1] - thousandth / 1000 * half) <= 0.2501
    assert lengths == sorted(lengths)


def test_bars_that_hang_take_the_nearest_height() -> None:
    values = -np.array([0.01, 0.12, 0.3, 0.33, 0.5, 0.7, 0.8, 1.0], dtype=np.float32)
    assert column_glyphs(values, 1.0) == (" " * 8, "▔▔▔▀▀▀██")


def test_a_column_with_a_negative_bar_has_one_axis_for_all_its_rows() -> None:
    rows = [[Cell("one"), Cell("+2.0", 2.0, bar=1.0)], [Cell("two"), Cell("−1.0", -1.0, bar=-0.5)]]
    total = [Cell("sum"), Cell("+1.0", 1.0)]
    laid = lay_table(Table([Column("part", align="left"), Column("share")], rows, total=total), 40)
    lines = drawn(laid)
    assert lines[1].index("│") == lines[2].index("│")
    assert "█" in lines[1]
    assert lines[2].index("▒") < lines[2].index("│")
    assert "│" not in lines[-1]
    assert max(len(line.rstrip()) for line in lines) <= 40


def test_bars_of_one_sign_start_at_the_number_as_ever() -> None:
    rows = [[Cell("one"), Cell("20%", 0.2, bar=0.2)], [Cell("two"), Cell("80%", 0.8, bar=0.8)]]
    laid = lay_table(Table([Column("part", align="left"), Column("share")], rows), 40)
    assert all("│" not in text for y in range(laid.height) for text, _ in laid.line(y).pieces)


def test_bars_have_the_colour_of_their_number_and_short_ones_can_be_seen() -> None:
    def kinds(*bars: float) -> list[Heat]:
        table = Table([Column("name", align="left"), Column("x")], [[Cell("a"), Cell("1", bar, bar=bar)] for bar in bars])
        laid = lay_table(table, 60)
        lines = [laid.below(row) for row in range(len(bars))]
        return [kind for line in lines for _, kind in (*line.pinned, *line.pieces) if isinstance(kind, Heat)]

    assert kinds(1.0, 0.5, 0.001) == [Heat("sequential", level, MASKED_LEVEL) for level in (LEVELS, LEVELS // 2, LEAST_INK)]
    assert kinds(-1.0, 0.001) == [Heat("diverging", level, MASKED_LEVEL) for level in (-LEVELS, LEAST_SIGNED_INK)]
