"""The shading of the area between two curves: a tint behind the cells, or a glyph in those that are blank."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lab.core.float_columns import Floats
from screens.plot.braille_canvas import BrailleCanvas
from screens.plot.figure import Area
from screens.widgets.text_fitting import Piece

SHADED = "+area"
"""End of the role of a cell that is tinted."""
GLYPH = "░"
HALVES = {(True, False): "▀", (False, True): "▄"}
"""A tint in the upper or the lower half of a blank cell."""
SHARE = 0.5
"""Share of a half cell, or without colours of a cell, from which on it counts as inside."""


def shade(cells: list[list[Piece]], area: Area, canvas: BrailleCanvas, scale: Callable[[Floats], Floats], paints: bool) -> None:
    """Shade the cells of the canvas that are inside the area. No character of a curve is changed."""
    inside = halves_inside(area, canvas, scale)
    for row, column in zip(*np.nonzero(inside.any(2)), strict=True):
        upper, lower = (bool(each) for each in inside[row, column])
        sign, role = cells[row][column]
        if paints and upper and lower:
            cells[row][column] = (sign, role + SHADED)
        elif sign == " " and paints:
            cells[row][column] = (HALVES[upper, lower], "area")
        elif sign == " " and upper and lower:
            cells[row][column] = (GLYPH, "area")


def halves_inside(area: Area, canvas: BrailleCanvas, scale: Callable[[Floats], Floats]) -> np.ndarray:
    """(rows, columns, 2): True for the upper and the lower half of each cell that are mostly between the curves."""
    low, high = max(area.xs[0], area.other_xs[0]), min(area.xs[-1], area.other_xs[-1])
    xs = np.array([canvas.x_of(column) for column in range(canvas.columns)])
    first, second = (
        canvas.height_of(scale(np.interp(xs, curve_xs, ys)))
        for curve_xs, ys in ((area.xs, area.ys), (area.other_xs, area.other_ys))
    )
    bottom, top = np.minimum(first, second), np.maximum(first, second)
    ends = 2 * canvas.rows - np.arange(2 * canvas.rows)[:, None]  # the upper ends, in half cells from the bottom
    covered = np.clip(np.minimum(2 * top, ends) - np.maximum(2 * bottom, ends - 1), 0, 1)
    covered[:, (xs < low) | (xs > high)] = 0
    found: np.ndarray = (covered > SHARE).reshape(canvas.rows, 2, canvas.columns).transpose(0, 2, 1)
    return found


def between(xs: Sequence[float] | Floats, ys: Sequence[float] | Floats, x: float) -> float:
    """The y of a curve at an x between its points."""
    return float(np.interp(x, xs, ys))
