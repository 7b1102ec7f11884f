"""The plot: what plotext draws from what is given."""

import math
import time
from array import array

import pytest

from screens.widgets.plot import Figure, Series, draw


def figure(*series: Series, log_y: bool = False) -> Figure:
    return Figure(series, version=0, x_label="steps", log_y=log_y)


def line(ys: list[float], kind: str = "line", role: str = "train") -> Series:
    return Series(role, role, kind, role, list(range(len(ys))), ys)  # type: ignore[arg-type]


def rows(drawn: list[list[tuple[str, str]]]) -> list[str]:
    return ["".join(text for text, _ in pieces) for pieces in drawn]


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
        role: {sign for text, r in (piece for pieces in drawn for piece in pieces) if r == role for sign in text.strip()}
        for role in ("raw", "train", "validation", "level")
    }
    assert marks["validation"] == {"◆"}
    assert marks["level"] == {"╌"}
    assert all("\u2800" <= sign <= "\u28ff" for sign in marks["raw"] | marks["train"])
    assert sum(text.count("◆") for pieces in drawn for text, _ in pieces) == 3


def test_a_spike_of_one_step_stands_out_of_a_long_run() -> None:
    ys = [2.0] * 100_000
    ys[43_210] = 9.0
    drawn = rows(draw(figure(line(ys)), 60, 20))
    top = drawn[: 20 // 3]
    assert any("\u2800" < sign <= "\u28ff" for row in top for sign in row)


def test_a_level_outside_the_curves_is_left_out_rather_than_squeezing_them() -> None:
    far = Series("chance", "chance", "level", "level", (0,), (11.0,))
    assert "╌" not in "".join(rows(draw(figure(line([3.0, 2.0, 1.5]), far), 60, 12)))


@pytest.mark.parametrize("log_y", [False, True])
def test_one_point_a_flat_line_and_a_tiny_place_are_drawn_too(log_y: bool) -> None:
    for ys in ([3.0], [3.0, 3.0], [0.001, 0.002]):
        assert draw(figure(line(ys), log_y=log_y), 20, 5)


def test_ticks_are_round_and_the_last_says_what_is_counted() -> None:
    drawn = rows(draw(figure(line([5.0 - x / 500 for x in range(2001)])), 80, 20))
    assert drawn[-1].split() == ["0", "500", "1,000", "1,500", "2,000", "steps"]
    labels = [row.partition("┤")[0].strip() for row in drawn if "┤" in row]
    assert [float(label) for label in labels] == sorted((float(label) for label in labels), reverse=True)


def test_a_million_steps_cost_little_more_than_a_thousand() -> None:
    ys = [2.0 + math.sin(x) for x in range(1_000_000)]
    long = Series("train", "train", "dots", "raw", array("d", range(1_000_000)), array("d", ys))
    draw(figure(line(ys[:1000], "dots", "raw")), 90, 24)
    began = time.process_time()
    draw(figure(long), 90, 24)
    assert time.process_time() - began < 0.25
