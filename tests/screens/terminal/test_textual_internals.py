"""Painting: lines as Textual has them without its caches, styles and layouts that are worked out once."""

import sys

import pytest
import textual.screen
from rich.color import Color
from rich.segment import Segment
from textual.app import App
from textual.geometry import Size
from textual.strip import Strip
from textual.widgets import Static

from screens.app import LabApp
from screens.base_screen import LabScreen
from screens.terminal.textual_internals import NO_CACHE, SECONDS_BETWEEN_PAINTS


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


class Signs(Static):
    COMPONENT_CLASSES = {"signs--good", "signs--bad"}
    DEFAULT_CSS = """
    Signs {
        & > .signs--good { color: red; }
        &.-calm > .signs--good { color: blue; }
    }
    """


async def test_styles_of_a_component_are_worked_out_when_asked_for_and_anew_when_they_change() -> None:
    app: App[None] = App()
    async with app.run_test() as pilot:
        signs = Signs("good")
        await app.mount(signs)
        assert len(signs._component_styles) == 0
        assert signs.get_component_rich_style("signs--good").color == Color.parse("#ff0000")
        assert list(signs._component_styles) == ["signs--good"]
        signs.add_class("-calm")
        await pilot.pause()
        assert signs.get_component_rich_style("signs--good").color == Color.parse("#0000ff")
        with pytest.raises(KeyError, match="signs--other"):
            signs.get_component_styles("signs--other")


class Resized(LabScreen):
    MODE = "home"

    def __init__(self) -> None:
        super().__init__()
        self.laid_out: list[Size] = []

    def _refresh_layout(self, size: Size | None = None, scroll: bool = False) -> None:
        if size is not None:
            self.laid_out.append(size)
        super()._refresh_layout(size, scroll)


@pytest.mark.usefixtures("home")
async def test_a_new_screen_is_laid_out_once_and_again_in_another_size() -> None:
    app = LabApp(preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = Resized()
        await app.push_screen(screen)
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        assert screen.laid_out == [Size(80, 24), Size(100, 30)]
