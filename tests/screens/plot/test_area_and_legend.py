"""The shading between two curves, which hides nothing, and the legend with every kind of event."""

from itertools import pairwise
from typing import get_args

import numpy as np
import pytest

from lab.runs.run_schema import EventKind
from screens.plot.braille_canvas import BrailleCanvas
from screens.plot.draw_plot import GLYPH, SHADED, Drawn, draw, halves_covered
from screens.plot.figure import EVENT_SIGNS, Area, Figure, Series
from screens.plot.plot_widget import EVENT_ORDER, legend

XS = [0.0, 100.0]
KINDS: tuple[EventKind, ...] = get_args(EventKind)


def area(upper: list[float], lower: list[float]) -> Area:
    return Area("gap +2 at step 100", "gap +2", XS, upper, XS, lower)


def figure(upper: list[float], lower: list[float], *, shaded: bool = True) -> Figure:
    curves = Series("val", "val", "marked", "validation", XS, upper), Series("train", "train", "line", "train", XS, lower)
    return Figure(curves, version=0, area=area(upper, lower) if shaded else None)


def test_it_covers_what_is_between_the_curves_and_both_orders_alike() -> None:
    canvas = BrailleCanvas(10, 20, (0.0, 0.0), (100.0, 39.0))  # four dots a row
    covered = halves_covered(area([29.5, 29.5], [9.5, 9.5]), canvas, np.asarray)
    assert covered[:, 7].ravel().tolist() == pytest.approx([0.0] * 5 + [1.0] * 10 + [0.0] * 5)
    assert (covered == halves_covered(area([9.5, 9.5], [29.5, 29.5]), canvas, np.asarray)).all()


def test_a_gap_thinner_than_half_a_cell_is_not_drawn_thicker_than_it_is() -> None:
    canvas = BrailleCanvas(10, 20, (0.0, 0.0), (100.0, 39.0))
    covered = halves_covered(area([20.2, 20.2], [19.8, 19.8]), canvas, np.asarray)
    assert 0 < covered.max() < 0.5


@pytest.mark.parametrize("paints", [True, False])
def test_no_character_of_a_curve_is_changed(paints: bool) -> None:
    plain = draw(figure([5.0, 5.5], [4.5, 2.0], shaded=False), 60, 16, paints=paints)
    shaded = draw(figure([5.0, 5.5], [4.5, 2.0]), 60, 16, paints=paints)
    changed = 0
    for before, after in zip(plain.cells, shaded.cells, strict=True):
        for (sign, role), (sign_now, role_now) in zip(before, after, strict=True):
            if sign != " ":
                assert sign_now == sign
                assert role_now.removesuffix(SHADED) == role
            changed += (sign, role) != (sign_now, role_now)
    assert changed > 100
    signs = {sign for line in shaded.cells for sign, role in line if role == "area"}
    assert signs <= ({"▀", "▄"} if paints else {GLYPH})
    assert any(role.endswith(SHADED) for line in shaded.cells for _, role in line) is paints


def test_evaluations_that_are_close_have_marks_only_as_far_apart_as_can_be_told() -> None:
    for number in (6, 30, 400):
        xs = np.linspace(0, 100, number)
        drawn = draw(Figure((Series("val", "val", "marked", "validation", xs, 5 - xs / 30),), version=0), 60, 16)
        columns = sorted(at for line in drawn.cells for at, (sign, _) in enumerate(line) if sign == "◆")
        assert columns[-1] == drawn.right, "the last always has one"
        assert len(columns) >= 5
        assert all(b - a >= 4 for a, b in pairwise(columns))


def test_every_kind_of_event_has_a_sign_and_a_turn() -> None:
    assert set(EVENT_SIGNS) == set(KINDS)
    assert sorted(EVENT_ORDER) == sorted(sign for sign, _ in EVENT_SIGNS.values())


@pytest.mark.parametrize("width", [20, 40, 80, 400])
def test_the_legend_fits_and_names_what_it_has_room_for(width: int) -> None:
    shown = Figure((Series("validation loss", "val", "marked", "val", (0.0,), (1.0,)),), version=0)
    text = "".join(piece for piece, _ in legend(shown, Drawn([], 0, 1, 0.0, 1.0, frozenset(), KINDS), width))
    assert len(text) <= max(width, len("⠤◆ val  "))
    assert ("≈ computed otherwise" in text) == (width == 400)
    assert "✗ skipped" in text, "what needs attention comes first"


def test_of_two_curves_that_coincide_both_are_seen() -> None:
    validation, training = figure([5.0, 4.0], [5.0, 4.0]).series
    for order in ((validation, training), (training, validation)):
        pieces = [piece for line in draw(Figure(order, version=0), 60, 16).lines for piece in line]
        assert {role for text, role in pieces if role != "axis" and text.strip()} == {"train", "validation"}
        assert "".join(text for text, role in pieces if role == "validation") == "◆◆"
