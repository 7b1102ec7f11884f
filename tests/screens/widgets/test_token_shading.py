"""Shading of tokens: their bars, the most attended one, and the arcs."""

import math

from screens.colour import LEVELS
from screens.widgets.token_shading import LEAST_ARC, MOST_ARCS, Shading, arc_lines

MASKED = math.nan


def shading(*values: float, at: int = 0, inward: bool = False) -> Shading:
    return Shading(values, at, "made up numbers", "made up", "made up", inward)


def test_bars_are_eighths_of_the_largest_number() -> None:
    found = shading(0.5, 0.25, 0.001, MASKED)
    assert [found.bar(index) for index in range(5)] == ["█", "▄", "▁", " ", " "]
    assert (found.limit, found.top) == (0.5, 0)
    assert (shading().limit, shading(MASKED).top) == (0.0, None)


def test_arcs_lead_to_the_largest_numbers_only() -> None:
    assert shading(0.0, 0.0).arcs() == []
    assert shading(1.0, LEAST_ARC / 2, 0.5).arcs() == [2, 0]
    assert shading(*(1 - index / 100 for index in range(20))).arcs() == list(reversed(range(MOST_ARCS)))


def feet(found: Shading, left: int = 0, width: int = 40) -> list[int]:
    rows = arc_lines(found, [2, 12, 22, 32], left, width, 3)
    assert [len(row) for row in rows] == [width] * 3
    return [column for column, (text, _) in enumerate(rows[-1]) if text == "▾"]


def test_an_arc_ends_over_its_token() -> None:
    assert feet(shading(0.6, 0.0, 0.4, 0.0, at=3)) == [2, 22]
    assert feet(shading(0.6, 0.0, 0.4, 0.0, at=3, inward=True)) == [32]


def test_arcs_scroll_with_the_tokens() -> None:
    found = shading(0.6, 0.0, 0.4, 0.0, at=3)
    assert feet(found, left=10, width=25) == [12]
    whole, part = (arc_lines(found, [2, 12, 22, 32], left, 40 - left, 3) for left in (0, 10))
    assert [row[10:] for row in whole] == part


def test_a_brighter_arc_covers_a_fainter_one() -> None:
    rows = arc_lines(shading(0.8, 0.2, 0.0, at=2), [2, 12, 32], 0, 40, 3)
    crossed = {level for row in rows for text, level in row if text != " "}
    assert crossed == {LEVELS, LEVELS // 4}
    assert rows[-1][2] == ("▾", LEVELS)


def test_an_arc_is_one_line_without_gaps() -> None:
    rows = arc_lines(shading(1.0, 0.0, at=1), [2, 37], 0, 40, 4)
    columns = [any(row[column][0] != " " for row in rows) for column in range(40)]
    assert columns == [2 <= column <= 37 for column in range(40)]


def test_attention_on_itself_is_a_loop() -> None:
    rows = arc_lines(shading(0.0, 1.0, at=1), [2, 12], 0, 20, 3)
    assert {column for row in rows for column, (text, _) in enumerate(row) if text != " "} <= {10, 11, 12, 13, 14}
