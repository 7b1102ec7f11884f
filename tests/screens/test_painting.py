"""Painting: lines are divided as Textual divides them, and leave no reference cycle behind."""

import sys

import textual.screen
from rich.segment import Segment
from textual.strip import Strip

from screens.painting import NO_CACHE, SECONDS_BETWEEN_PAINTS, paint_quickly

paint_quickly()


def strip() -> Strip:
    return Strip([Segment("attention "), Segment("日本"), Segment(" 0.25")])


def test_a_line_makes_no_caches() -> None:
    one = strip()
    assert {getattr(one, name) for name in Strip.__slots__ if name.endswith("_cache") and name != "_render_cache"} == {NO_CACHE}


def test_parts_are_those_of_the_text_between_the_cuts() -> None:
    length = strip().cell_length
    assert [part.text for part in strip().divide([5, 10, length])] == ["atten", "tion ", "日本 0.25"]
    assert [part.text for part in strip().divide([5, length + 8])] == ["atten"], "as Textual: a cut beyond the end is none"
    assert [part.text for part in strip().divide([length, length + 8])] == [strip().text]


def test_a_whole_line_is_freed_without_the_cycle_collector() -> None:
    whole = strip()
    before = sys.getrefcount(whole)
    parts = whole.divide([whole.cell_length])
    assert [part.text for part in parts] == [whole.text]
    del parts
    assert sys.getrefcount(whole) == before


def test_textual_paints_as_often_as_that() -> None:
    assert textual.screen.UPDATE_PERIOD == SECONDS_BETWEEN_PAINTS
