"""The bar of a screen's pages: the letter and the title of each, the current one marked, each a link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

GAP = 1
"""Character cells between two pages."""


@dataclass(frozen=True)
class PageLink:
    """A page: its name in code, its key and its title."""

    name: str
    letter: str
    title: str


class PageBar(Widget):
    """One line: `▸s strip◂  c side by side` marks the current page without colour."""

    COMPONENT_CLASSES = {"page-bar--page", "page-bar--key", "page-bar--current"}
    DEFAULT_CSS = """
    PageBar {
        height: 1; padding: 0 1;
        & > .page-bar--page { color: $foreground 80%; }
        & > .page-bar--key { color: $footer-key-foreground; text-style: bold; }
        & > .page-bar--current { color: $foreground; background: $primary 40%; text-style: bold; }
    }
    """

    current: reactive[str] = reactive("")

    @dataclass
    class Chosen(Message):
        """A page was clicked on."""

        page: str

    def __init__(self, pages: Sequence[PageLink], current: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._pages = tuple(pages)
        self.set_reactive(PageBar.current, current)

    def render_line(self, y: int) -> Strip:
        segments: list[Segment] = []
        for page in self._pages:
            if page.name == self.current:
                segments.append(Segment(f"▸{page.letter} {page.title}◂", self.get_component_rich_style("page-bar--current")))
            else:
                segments.append(Segment(f" {page.letter}", self.get_component_rich_style("page-bar--key")))
                segments.append(Segment(f" {page.title} ", self.get_component_rich_style("page-bar--page")))
            segments.append(Segment(" " * GAP, self.rich_style))
        return Strip(segments).adjust_cell_length(self.content_size.width, self.rich_style)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        at = 0
        for page in self._pages:
            end = at + cell_len(f" {page.letter} {page.title} ")
            if offset is not None and at <= offset.x < end:
                self.post_message(self.Chosen(page.name))
                return
            at = end + GAP
