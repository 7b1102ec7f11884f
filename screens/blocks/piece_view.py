"""The base class of views drawn in pieces: their kinds and styles; and the views that were drawn before they are shown."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from rich.style import Style
from textual.strip import Strip

from lab.views.blocks import View
from screens.blocks.view_layout import Page
from screens.colour import Heat, palette_of
from screens.widgets.line_scroll_view import LineScrollView

KINDS = (
    *("title", "head", "dim", "strong", "selected", "mark", "masked", "struck"),
    *("bar", "positive", "negative", "note", "wrong", "cursor"),
)
"""Kinds of pieces, each a component class; heats are the others."""


class PieceView(LineScrollView):
    """A subclass draws a line as segments, each in the style of its kind of piece."""

    COMPONENT_CLASSES = {f"block--{kind}" for kind in KINDS}
    DEFAULT_CSS = """
    PieceView {
        & > .block--title { text-style: bold; }
        & > .block--head { color: $foreground 70%; }
        & > .block--dim { color: $foreground 60%; }
        & > .block--strong { text-style: bold; }
        & > .block--selected { color: $accent; text-style: bold; }
        & > .block--mark { color: $accent; text-style: bold; }
        & > .block--masked { color: $foreground 40%; }
        & > .block--struck { color: $foreground 60%; text-style: strike; }
        & > .block--bar { color: $primary; }
        & > .block--positive { color: $primary; }
        & > .block--negative { color: $warning; }
        & > .block--note { color: $foreground; }
        & > .block--wrong { color: $text-error; text-style: bold; }
        & > .block--cursor { text-style: reverse bold; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._piece_styles: dict[str | Heat, Style] = {}

    def piece_style(self, kind: str | Heat) -> Style:
        """The style of a kind of piece, or of a heat; kept until the theme, or the widget's own style, changes."""
        if (found := self._piece_styles.get(kind)) is None:
            palette = palette_of(self)
            if not isinstance(kind, Heat):
                found = self.style_of("" if kind in ("", "cell") else f"block--{kind}") + palette.sign_style(kind)
            else:
                found = palette.style(kind) if palette.paints else self.style_of("block--bar") + palette.style(kind)
            self._piece_styles[kind] = found
        return found

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._piece_styles.clear()


MOST_PREPARED = 10
"""Prepared views that are kept: one for each key that leads to another place, and a few more."""


class LayoutOptions(NamedTuple):
    """Everything that a view's layout depends on beside the view itself and the styles."""

    room: int
    paints: bool
    panel: int
    height: int


@dataclass(frozen=True)
class PreparedView:
    """A view laid out and drawn before it is shown, so that the key that leads to it waits for neither."""

    view: View
    options: LayoutOptions
    laid: Page
    strips: dict[tuple[int, int], Strip]
    """Some of its lines, by line and cells scrolled out at the left."""


class PreparedViews:
    """The views prepared last. Each is handed out once: the cursor changes what is shown of it."""

    def __init__(self) -> None:
        self._prepared: OrderedDict[int, PreparedView] = OrderedDict()
        """By `id(view)`, which no other object has while the view is held here."""

    def has(self, view: View, options: LayoutOptions) -> bool:
        """True if exactly this view was prepared for that."""
        return id(view) in self._prepared and self._prepared[id(view)].options == options

    def put(self, prepared: PreparedView) -> None:
        self._prepared[id(prepared.view)] = prepared
        self._prepared.move_to_end(id(prepared.view))
        while len(self._prepared) > MOST_PREPARED:
            self._prepared.popitem(last=False)

    def take(self, view: View, options: LayoutOptions) -> PreparedView | None:
        """The prepared view, if exactly this one was prepared for that."""
        return self._prepared.pop(id(view)) if self.has(view, options) else None
