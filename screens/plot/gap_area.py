"""The shading of the area between two curves: a tint behind the cells, or a glyph in those that are blank."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lab.core.float_columns import Floats
from screens.plot.braille_canvas import BrailleCanvas, Cell
from screens.plot.figure import Area

SHADED = "+area"
"""End of the role of a cell that is tinted."""
GLYPH = "░"
HALVES = {(True, False): "▀", (False, True): "▄"}
"""A tint in the upper or the lower half of a blank cell."""
SHARE = 0.5
"""Share of a half cell, or without colours of a cell, from which on it counts as inside."""


def shade(cells: list[list[Cell]], area: Area, canvas: BrailleCanvas, scale: Callable[[Floats], Floats], paints: bool) -> None:
    """Shade the cells of the canvas that are inside the area. No character of a curve is changed."""
    covered = halves_covered(area, canvas, scale)
    rows, columns = np.nonzero(covered.max(2) > SHARE)
    for row, column, (upper, lower) in zip(rows.tolist(), columns.tolist(), covered[rows, columns].tolist(), strict=True):
        sign, role = cells[row][column]
        half = (upper > SHARE, lower > SHARE)
        if paints and (all(half) if sign == " " else upper + lower > 2 * SHARE):
            cells[row][column] = (sign, role + SHADED)
        elif sign == " " and paints:
            cells[row][column] = (HALVES[half], "area")
        elif sign == " " and all(half):
            cells[row][column] = (GLYPH, "area")


def halves_covered(area: Area, canvas: BrailleCanvas, scale: Callable[[Floats], Floats]) -> Floats:
    """(rows, columns, 2): the share of the upper and the lower half of each cell that is between the curves."""
    low, high = max(area.xs[0], area.other_xs[0]), min(area.xs[-1], area.other_xs[-1])
    xs = np.array([canvas.x_of(column) for column in range(canvas.columns)])
    first, second = (
        canvas.heights_of(scale(np.interp(xs, curve_xs, ys)))
        for curve_xs, ys in ((area.xs, area.ys), (area.other_xs, area.other_ys))
    )
    bottom, top = np.minimum(first, second), np.maximum(first, second)
    ends = 2 * canvas.rows - np.arange(2 * canvas.rows)[:, None]  # the upper ends, in half cells from the bottom
    covered = np.clip(np.minimum(2 * top, ends) - np.maximum(2 * bottom, ends - 1), 0, 1)
    covered[:, (xs < low) | (xs > high)] = 0
    halves: Floats = covered.reshape(canvas.rows, 2, canvas.columns).transpose(0, 2, 1)
    return halves
