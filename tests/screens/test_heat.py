"""Heat: quantized, merged, and drawn in the colours that there are."""

import math

import numpy as np
from rich.color import Color, ColorSystem

from lab.core.colour_scales import colour, contrast
from screens.colour import (
    HALF_BLOCK,
    LEVELS,
    MASKED_LEVEL,
    Heat,
    Palette,
    half_block_cells,
    heat,
    heat_cells,
    legend_bar,
    level_of,
    levels_of,
)

TRUE = Palette("truecolor", True, (20, 20, 30))


def test_an_array_is_quantized_as_its_numbers_are_and_anything_but_zero_is_off_zero() -> None:
    values = [0.0, 1e-9, -1e-9, math.nan, 0.5, -0.5, 1.0, 3.0, -3.0]
    levels = [level_of(value) for value in values]
    assert levels_of(np.array(values)).tolist() == levels
    assert levels[:4] == [0, 1, -1, MASKED_LEVEL]


def test_equal_neighbours_are_one_piece() -> None:
    cells = heat_cells("sequential", levels_of(np.array([0.5, 0.5, 1.0])), width=2)
    assert cells == [("    ", Heat("sequential", LEVELS // 2)), ("  ", Heat("sequential", LEVELS))]


def test_a_half_block_holds_two_rows() -> None:
    above, below = levels_of(np.array([0.0, 1.0])), levels_of(np.array([1.0, 1.0]))
    assert half_block_cells("sequential", above, below) == [
        (HALF_BLOCK, Heat("sequential", 0, LEVELS)),
        (HALF_BLOCK, Heat("sequential", LEVELS, LEVELS)),
    ]
    assert half_block_cells("sequential", above, None)[0][1].below == MASKED_LEVEL


def test_style_is_the_scale_with_readable_ink_in_the_terminal_s_colours_and_roles_are_marked_without() -> None:
    for value in np.linspace(-1, 1, 2 * LEVELS + 1).tolist():
        for system in ("truecolor", "256"):
            style = Palette(system, True, (0, 0, 0)).style(heat("diverging", value))
            paper = tuple(style.bgcolor.get_truecolor())
            assert contrast(tuple(style.color.get_truecolor()), paper) >= 4.5
    assert TRUE.style(heat("sequential", 1.0)).bgcolor == Color.from_rgb(*colour("sequential", 1.0))
    style = Palette("256", True, (0, 0, 0)).style(heat("sequential", 0.4))
    assert style.bgcolor.get_truecolor() == style.bgcolor.downgrade(ColorSystem.EIGHT_BIT).get_truecolor()
    assert TRUE.style(heat("sequential", math.nan, 0.5)).color == Color.from_rgb(20, 20, 30), "masked: the screen's own"
    assert TRUE.style(heat("sequential", 0.2, role="struck")).strike
    assert TRUE.style(heat("sequential", 0.2, role="selected")).underline


def test_paper_is_painted_where_there_are_enough_colours() -> None:
    systems = ("truecolor", "256", "standard", None)
    assert [Palette(system, True, (0, 0, 0)).paints for system in systems] == [True, True, False, False]


def test_legend_has_both_ends() -> None:
    bar = legend_bar("diverging", "−2", "+2", width=9)
    kinds = [kind.level for _, kind in bar if isinstance(kind, Heat)]
    assert (kinds[0], kinds[len(kinds) // 2], kinds[-1]) == (-LEVELS, 0, LEVELS)
    assert (bar[0][0].strip(), bar[-1][0].strip()) == ("−2", "+2")
