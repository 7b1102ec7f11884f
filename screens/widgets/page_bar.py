"""The bar of a screen's pages: the title of each, a link, the current one marked; at the right, steps of a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.core.visible_text import visible
from screens.widgets.text_fitting import Piece, painted_line

GAP = 1
"""Character cells between two pages."""
ARROW = " → "
"""Between two steps."""


@dataclass(frozen=True)
class PageLink:
    """A page: its name in code and its title; the tooltip where it says more, and its synonyms."""

    name: str
    title: str
    tooltip: str = ""
    synonyms: str = ""


class PageBar(Widget):
    """One line: `▸strip◂  side by side` marks the current page without colour. Steps that do not fit are left out whole."""

    COMPONENT_CLASSES = {"page-bar--page", "page-bar--key", "page-bar--current", "page-bar--step", "page-bar--here"}
    DEFAULT_CSS = """
    PageBar {
        height: 1; padding: 0 1;
        & > .page-bar--page { color: $foreground 80%; }
        & > .page-bar--key { color: $footer-key-foreground; text-style: bold; }
        & > .page-bar--current { color: $foreground; background: $primary 40%; text-style: bold; }
        & > .page-bar--step { color: $foreground 65%; }
        & > .page-bar--here { color: $foreground; text-style: bold underline; }
    }
    """

    current: reactive[str] = reactive("")
    steps: reactive[tuple[str, ...]] = reactive(())
    """The steps of the pipeline, first to last."""
    short_steps: reactive[tuple[str, ...]] = reactive(())
    """The same steps in fewer words, for where those do not fit."""
    step: reactive[int | None] = reactive(None)
    """The step that the current page is about."""

    @dataclass
    class Chosen(Message):
        """A page was clicked on."""

        page: str

    def __init__(self, pages: Sequence[PageLink], current: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._pages = tuple(pages)
        self.set_reactive(PageBar.current, current)

    def render_line(self, y: int) -> Strip:
        pieces: list[Piece] = []
        for page in self._pages:
            pieces.append((f"▸{page.title}◂", "current") if page.name == self.current else (f" {page.title} ", "page"))
            pieces.append((" " * GAP, ""))
        pieces.append(("[ ] ", "key"))
        room = self.size.width - sum(cell_len(text) for text, _ in pieces)
        return painted_line(self, "page-bar", [*pieces, *self._step_pieces(room)])

    def _step_pieces(self, room: int) -> list[Piece]:
        names = [visible(name) for name in self.steps]
        length = cell_len(ARROW.join(names))
        if length > room:
            names = [visible(name) for name in self.short_steps]
            length = cell_len(ARROW.join(names))
        if not names or length > room:
            return []
        pieces = [(" " * (room - length), "")]
        for number, name in enumerate(names):
            arrow = [(ARROW, "step")] if number else []
            pieces += [*arrow, (name, "here" if number == self.step else "step")]
        return pieces

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        at = 0
        for page in self._pages:
            end = at + cell_len(f" {page.title} ")
            if offset is not None and at <= offset.x < end:
                self.post_message(self.Chosen(page.name))
                return
            at = end + GAP
