"""The base class of the modes that are made of pages: the keys that open and turn them."""

from __future__ import annotations

from collections.abc import Iterable

from textual import on
from textual.binding import Binding
from textual.reactive import var

from screens.base_screen import LabScreen
from screens.widgets.page_bar import PageBar, PageLink


def page_bindings(mode: str, links: Iterable[PageLink]) -> list[Binding]:
    """A key for each page of a mode: its letter."""
    return [
        Binding(
            link.letter,
            f"page('{link.name}')",
            link.title.capitalize(),
            id=f"{mode}.{link.name}",
            show=False,
            tooltip=link.tooltip or f"Show the page: {link.title}",
        )
        for link in links
    ]


def turn_bindings(mode: str) -> list[Binding]:
    """The keys of a mode that turn to the next page and to the one before."""
    following, before = f"{mode}.next_page", f"{mode}.previous_page"
    return [
        Binding("right_square_bracket", "turn(1)", "Pages", id=following, key_display="[ ]", tooltip="The next page"),
        Binding("left_square_bracket", "turn(-1)", "Page back", id=before, show=False, tooltip="The page before"),
    ]


class PagedScreen(LabScreen):
    """A mode that shows one of its `page_classes` at a time, under a PageBar."""

    page: var[str] = var("")
    """The name of the page in sight."""

    def action_page(self, name: str) -> None:
        self.page = name

    def action_turn(self, by: int) -> None:
        names = [link.name for link, _ in self.page_classes()]
        self.action_page(names[(names.index(self.page) + by) % len(names)])

    @on(PageBar.Chosen)
    def _page_clicked(self, message: PageBar.Chosen) -> None:
        self.action_page(message.page)
