"""The plot: what plotext draws from what is given."""

import math
import re
import time
from array import array
from dataclasses import replace

import pytest

from screens.plot.draw_plot import Drawn, draw, with_cursor
from screens.plot.figure import Area, Figure, Series
from screens.plot.plot_widget import legend


def figure(*series: Series, log_y: bool = False) -> Figure:
    return Figure(series, version=0, x_label="steps", log_y=log_y)


def line(ys: list[float], kind: str = "line", role: str = "train") -> Series:
    return Series(role, role, kind, role, list(range(len(ys))), ys)  # type: ignore[arg-type]


def rows(drawn: Drawn) -> list[str]:
    return ["".join(text for text, _ in pieces) for pieces in drawn.lines]


@pytest.mark.parametrize(("width", "height"), [(40, 8), (52, 13), (88, 23), (200, 60)])
def test_it_has_the_size_that_is_asked_for(width: int, height: int) -> None:
    drawn = rows(draw(figure(line([5.0, 4.0, 3.0, 2.5, 2.2])), width, height))
    assert len(drawn) == height
    assert all(len(row) <= width for row in drawn)


def test_each_curve_has_its_own_marks_besides_its_colour() -> None:
    falling = [5.0 * math.exp(-x / 30) + 1 for x in range(100)]
    drawn = draw(
        figure(
            line(falling, "dots", "raw"),
            line(falling, "line", "train"),
            Series("val", "val", "marks", "validation", [0, 50, 99], [6.0, 2.5, 1.6]),
            Series("chance", "chance", "level", "level", (0,), (5.5,)),
        ),
        60,
        20,
    )
    marks = {
        role: {sign for text, r in (piece for pieces in drawn.lines for piece in pieces) if r == role for sign in text.strip()}
        for role in ("raw", "train", "validation", "level")
    }
    assert marks["validation"] == {"◆"}
    assert marks["level"] < set("▔╌▁")
    assert all("\u2800" <= sign <= "\u28ff" for sign in marks["raw"] | marks["train"])
    assert sum(text.count("◆") for pieces in drawn.lines for text, _ in pieces) == 3


def test_a_spike_of_one_step_stands_out_of_a_long_run() -> None:
    ys = [2.0] * 100_000
    ys[43_210] = 9.0
    drawn = rows(draw(figure(line(ys)), 60, 20))
    top = drawn[: 20 // 3]
    assert any("\u2800" < sign <= "\u28ff" for row in top for sign in row)


def test_a_level_outside_the_curves_is_left_out_rather_than_squeezing_them() -> None:
    far = Series("chance", "chance", "level", "level", (0,), (11.0,))
    assert not set("▔╌▁") & set("".join(rows(draw(figure(line([3.0, 2.0, 1.5]), far), 60, 12))))


@pytest.mark.parametrize("log_y", [False, True])
def test_one_point_a_flat_line_and_a_tiny_place_are_drawn_too(log_y: bool) -> None:
    for ys in ([3.0], [3.0, 3.0], [0.001, 0.002]):
        assert draw(figure(line(ys), log_y=log_y), 20, 5)


def test_ticks_are_round_and_the_last_with_room_behind_it_says_what_is_counted() -> None:
    drawn = rows(draw(figure(line([5.0 - x / 500 for x in range(2001)])), 80, 20))
    assert drawn[-1].split() == ["0", "500", "1,000", "1,500", "steps", "2,000"]
    labels = [row.partition("┤")[0].strip() for row in drawn if "┤" in row]
    assert [float(label) for label in labels] == sorted((float(label) for label in labels), reverse=True)


def test_a_million_steps_cost_little_more_than_a_thousand() -> None:
    ys = [2.0 + math.sin(x) for x in range(1_000_000)]
    long = Series("train", "train", "dots", "raw", array("d", range(1_000_000)), array("d", ys))
    draw(figure(line(ys[:1000], "dots", "raw")), 90, 24)
    began = time.process_time()
    draw(figure(long), 90, 24)
    assert time.process_time() - began < 0.25


def test_a_level_carries_its_name_where_there_is_room_and_the_legend_has_the_others() -> None:
    falling = line([5.0 * math.exp(-x / 3) + 1 for x in range(100)])
    level = Series("by chance = 4.00", "chance 4.00", "level", "level", (0,), (4.0,))
    drawn = draw(figure(falling, level), 60, 16)
    assert sum(bool(re.search("[▔╌▁] chance 4.00 [▔╌▁]", row)) for row in rows(drawn)) == 1
    assert drawn.named == {"chance 4.00"}
    assert not draw(figure(falling, level), 14, 16).named


def test_a_legend_that_is_too_long_still_names_the_bad_steps() -> None:
    steps = line([5.0, 4.0, 3.0, 2.5])
    drawn = replace(draw(figure(steps), 60, 12), events=("checkpoint", "bad_step", "best", "back"))
    for width, signs, best in (
        (80, "▴✗★↶", "★ best val loss "),
        (43, "✗★↶", "★ best "),
        (36, "✗↶", ""),
        (23, "✗", ""),
        (9, "", ""),
    ):
        words = "".join(text for text, _ in legend(figure(steps), drawn, width))
        assert len(words) <= max(width, len("⠤⠒⠤ train  "))
        assert {sign for sign in "▴✗★↶" if sign in words} == set(signs), words
        assert best in words


@pytest.mark.parametrize("log_y", [False, True])
def test_a_level_s_name_stands_on_its_own_line(log_y: bool) -> None:
    for y in (1.2, 2.0, 3.1, 4.4, 5.5):
        level = Series("level", f"at {y}", "level", "level", (0,), (y,))
        drawn = rows(draw(figure(line([6.0, 1.0]), level, log_y=log_y), 60, 23))
        assert [row for row in drawn if set("▔╌▁") & set(row)] == [row for row in drawn if f" at {y} " in row] != []


@pytest.mark.parametrize(("level", "sign"), [(4.37, "▔"), (4.27, "╌"), (4.16, "▁")])
def test_a_level_in_the_row_of_a_mark_is_drawn_above_or_below_it_as_it_is(level: float, sign: str) -> None:
    last = Series("val", "val", "marks", "validation", [0, 99], [6.0, 4.265])
    drawn = draw(figure(line([6.0, 3.0]), last, Series("bigram", "", "level", "level", (0,), (level,))), 60, 14)
    assert [sign in row for row in rows(drawn) if "◆" in row] == [False, True]


def test_a_column_is_where_the_point_is_drawn() -> None:
    spike = [1.0] * 41
    spike[30] = 9.0
    drawn = draw(figure(line(spike)), 60, 12)
    column = drawn.column(30)
    assert column is not None
    top = rows(drawn)[0] + rows(drawn)[1]
    assert abs(next(at for at, sign in enumerate(rows(drawn)[1]) if "\u2800" < sign <= "\u28ff") - column) <= 1, top
    assert drawn.column(41) is None
    assert (drawn.column(0), drawn.column(40)) == (drawn.left, drawn.right)
    text = "".join(text for text, _ in with_cursor(drawn.lines[1], column))
    assert text[column] == "│"


def test_ticks_below_one_keep_their_decimals() -> None:
    xs = [x / 1000 for x in range(400)]
    drawn = rows(draw(Figure((Series("t", "t", "line", "train", xs, [x * 1e-3 for x in xs]),), 0, "seconds"), 80, 10))
    assert "0.1" in drawn[-1]
    assert "0.0002" in "".join(drawn)


def test_a_logarithmic_scale_is_even_in_ratios() -> None:
    halving = [1024.0 / 2**x for x in range(11)]
    drawn = draw(figure(line(halving), log_y=True), 70, 25)
    tops = []
    for x in (0, 5, 10):
        column = drawn.column(x)
        assert column is not None
        tops.append(next(y for y, row in enumerate(rows(drawn)) if len(row) > column and "\u2800" < row[column] <= "\u28ff"))
    assert tops[2] - tops[0] >= 20, "it uses the height"
    assert abs((tops[0] + tops[2]) / 2 - tops[1]) <= 1, "a straight line"
    labels = [float(row.partition("┤")[0]) for row in rows(drawn) if "┤" in row]
    assert labels == sorted(labels, reverse=True)
    assert {1000.0, 100.0, 10.0, 1.0} <= set(labels)


def test_evaluations_are_at_the_height_of_the_curve_and_differ_where_their_losses_do() -> None:
    """Four losses less than a row apart are four heights of braille, and a mark is in the cell of the curve."""
    xs = [0.0, 20.0, 40.0, 60.0]
    drawn = draw(figure(Series("val", "val", "marked", "validation", xs, [0.2, 1.5, 2.8, 4.1]), line([0.0, 20.0])), 60, 7)
    assert drawn.y_range[1] - drawn.y_range[0] >= 20
    signs = {sign for row in drawn.cells for sign, role in row if role == "validation" and sign != "◆"}
    assert len(signs) >= 3, "the line rises within a row"
    for y in (1.3, 4.4, 7.7, 12.9):
        both = figure(line([y] * 61), Series("val", "val", "marked", "validation", [0.0, 30.0, 60.0], [y] * 3), line([0.0, 20.0]))
        rows_of = [at for at, row in enumerate(draw(both, 60, 12).cells) if any(sign == "◆" for sign, _ in row)]
        curve = draw(figure(line([y] * 61), line([0.0, 20.0])), 60, 12)
        flat = max(range(len(curve.cells) - 2), key=lambda at: sum("\u2800" < sign <= "\u28ff" for sign, _ in curve.cells[at]))
        assert rows_of == [flat]


def test_the_cursor_covers_no_name_and_no_mark() -> None:
    falling = line([5.0 * math.exp(-x / 3) + 1 for x in range(100)])
    level = Series("chance", "chance 4.00", "level", "level", (0,), (4.0,))
    val = Series("val", "val", "marked", "validation", [0.0, 50.0, 99.0], [6.0, 2.5, 1.6])
    drawn = draw(figure(falling, val, level), 60, 16)
    for row in drawn.cells[:-2]:
        for column in range(drawn.left, drawn.right + 1):
            sign, role = row[column]
            now = "".join(text for text, _ in with_cursor(row, column))
            assert now[column] == (sign if role.startswith("name") or sign == "◆" else "│")


def test_a_place_of_the_mouse_leads_back_to_its_column() -> None:
    drawn = draw(figure(line([5.0, 4.0, 3.0, 2.5])), 60, 12)
    for column in range(drawn.left, drawn.right + 1):
        assert drawn.column(drawn.x_at(column)) == column
    heights = [drawn.y_at(row) for row in range(10)]
    assert heights == sorted(heights, reverse=True)
    assert drawn.y_range[0] <= heights[-1] < heights[0] <= drawn.y_range[1]


def test_a_mark_out_of_the_range_of_y_is_left_out() -> None:
    val = Series("val", "val", "marked", "validation", [0.0, 50.0, 99.0], [6.0, 2.5, 2.1])
    near = replace(figure(val), y_window=(2.0, 3.0))
    assert sum(sign == "◆" for row in draw(near, 60, 16).cells for sign, _ in row) == 2
    assert sum(sign == "◆" for row in draw(figure(val), 60, 16).cells for sign, _ in row) == 3


def test_of_two_levels_in_one_row_the_legend_names_the_one_that_has_no_line() -> None:
    levels = tuple(Series(name, name, "level", "level", (0.0,), (y,)) for name, y in (("first", 3.0), ("second", 3.01)))
    shown = Figure((line([5.0 - x / 50 for x in range(201)]), *levels), version=0)
    drawn = draw(shown, 80, 20)
    assert drawn.named == {"first"}


def test_without_colours_validation_is_dashed_and_the_legend_shows_it() -> None:
    shown = Figure((line([5.0] * 201), line([3.0] * 201, kind="marked", role="validation")), version=0)
    coloured, plain = draw(shown, 80, 20), draw(shown, 80, 20, paints=False)
    marked = [next(row for row in rows(each) if "◆" in row) for each in (coloured, plain)]
    gaps = [row[row.index("◆") : row.rindex("◆")].count(" ") for row in marked]
    assert gaps[0] == 0 < gaps[1]
    assert "⠤ ◆" in "".join(text for text, _ in legend(shown, plain, 80, paints=False))


def test_the_legend_names_the_gap_only_where_it_is_drawn() -> None:
    upper, lower = line([3.0] * 201, kind="marked", role="validation"), line([2.0] * 201)
    for other, is_drawn in ((1.0, True), (2.999, False)):
        area = Area("gap of one", "gap", upper.xs, upper.ys, lower.xs, [other] * 201)
        shown = Figure((upper, lower, line([0.0] * 201)), version=0, area=area)
        drawn = draw(shown, 80, 20)
        assert drawn.has_area == is_drawn
        assert ("gap" in "".join(text for text, _ in legend(shown, drawn, 80))) == is_drawn


@pytest.mark.parametrize(("name", "ticks"), [("vocabulary", ["256", "257"]), ("epochs", ["256.0", "256.2", "256.4"])])
def test_between_two_counts_no_place_is_named(name: str, ticks: list[str]) -> None:
    merged = Series("tokens", "tokens", "line", "train", [256.0, 257.0], [1000.0, 900.0])
    words = rows(draw(Figure((merged,), 0, name), 60, 10))[-1].split()
    assert [word for word in words if word != name][: len(ticks)] == ticks
