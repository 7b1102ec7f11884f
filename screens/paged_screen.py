"""A mode of several pages, one in sight at a time, with the keys that turn them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, cast

from textual import on
from textual.binding import Binding
from textual.containers import Vertical
from textual.reactive import var
from textual.widget import Widget

from screens.about_key import About, keyless
from screens.app_state import AppState
from screens.base_screen import LabScreen
from screens.widgets.page_bar import PageBar, PageLink


class Page(Vertical):
    """A page of a `PagedScreen`; its `LINK` has its name, its key and its title."""

    LINK: ClassVar[PageLink]
    PARTS: ClassVar[tuple[type[Widget], ...]] = ()
    """Classes of the widgets in it that have keys of their own."""
    REST: ClassVar[str] = ""
    """Selector of the widget that has the focus when the keys are free; empty for none."""
    DEFAULT_CSS = """
    Page { display: none; }
    Page.-shown { display: block; }
    """

    is_shown: var[bool] = var(False, toggle_class="-shown")
    """True while the page is in sight."""

    @property
    def lab(self) -> AppState:
        """The state that all modes share: the text in use, the current run."""
        return cast(AppState, self.app)

    @property
    def is_settled(self) -> bool:
        """True if everything asked for has been answered."""
        return True

    def go_back(self) -> bool:
        """Go back one place inside the page. False if there is none."""
        return False

    def resting_focus(self) -> str | None:
        """Selector of the widget to focus after escape has left a text field; None for no widget."""
        return self.REST or None


def page_bindings(mode: str, pages: Iterable[type[Page]]) -> list[Binding]:
    """The pages of a mode, by name, for the palette; keys turn them one by one."""
    return [
        keyless(f"page('{link.name}')", f"{mode}.{link.name}", link.tooltip or f"Show the page: {link.title}", link.title)
        | About("Pages", synonyms=link.synonyms)
        for link in (page.LINK for page in pages)
    ]


def turn_bindings(mode: str) -> list[Binding]:
    """The keys of a mode that turn to the next page and to the one before."""
    following, before = f"{mode}.next_page", f"{mode}.previous_page"
    return [
        Binding("right_square_bracket", "turn(1)", "Pages", id=following, key_display="[ ]", tooltip="The next page")
        | About("Pages", words="next and previous page", also=(before,)),
        Binding("left_square_bracket", "turn(-1)", "Page back", id=before, show=False, tooltip="The page before"),
    ]


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
