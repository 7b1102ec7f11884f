"""A mode of several pages, one in sight at a time, with the keys that turn them."""

from __future__ import annotations

from collections.abc import Iterable

from textual import on
from textual.binding import Binding
from textual.reactive import var

from screens.about_key import About, described, keyless
from screens.base_screen import LabScreen, Page
from screens.widgets.page_bar import PageBar


def page_bindings(mode: str, pages: Iterable[type[Page]]) -> list[Binding]:
    """The pages of a mode, by name, for the palette; keys turn them one by one."""
    bindings = []
    for link in (page.LINK for page in pages):
        words, about = link.tooltip or f"Show the page: {link.title}", About("Pages", synonyms=link.synonyms)
        bindings.append(keyless(f"page('{link.name}')", f"{mode}.{link.name}", words, link.title, about))
    return bindings


def turn_bindings(mode: str) -> list[Binding]:
    """The keys of a mode that turn to the next page and to the one before."""
    following, before = f"{mode}.next_page", f"{mode}.previous_page"
    return described(
        Binding("right_square_bracket", "turn(1)", "Pages", id=following, key_display="[ ]", tooltip="The next page"),
        About("Pages", words="next and previous page", also=(before,)),
        Binding("left_square_bracket", "turn(-1)", "Page back", id=before, show=False, tooltip="The page before"),
    )


class PagedScreen(LabScreen):
    """A mode that shows one of its `PAGES` at a time, under a PageBar."""

    page: var[str] = var("")
    """The name of the page in sight."""

    def page_bar(self) -> PageBar:
        return PageBar([page.LINK for page in self.PAGES], self.page, id=f"{self.MODE}-pages")

    @property
    def current(self) -> Page:
        """The page in sight."""
        return next(page for page in self.query(Page) if page.LINK.name == self.page)

    def resting_focus(self) -> str | None:
        return self.current.resting_focus()

    def go_back(self) -> bool:
        return self.current.go_back()

    def show_page(self) -> None:
        """Show the page of that name, and hide the others."""
        self.query_one(PageBar).current = self.page
        for page in self.query(Page):
            page.is_shown = page is self.current
        self.refresh_bindings()

    def action_page(self, name: str) -> None:
        self.page = name

    def action_turn(self, by: int) -> None:
        names = [page.LINK.name for page in self.PAGES]
        self.action_page(names[(names.index(self.page) + by) % len(names)])

    @on(PageBar.Chosen)
    def _page_clicked(self, message: PageBar.Chosen) -> None:
        self.action_page(message.page)
