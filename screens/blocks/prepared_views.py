"""Views that were laid out and drawn before they are shown, so that the key that leads to one need not wait for either."""

from collections import OrderedDict
from dataclasses import dataclass

from textual.strip import Strip

from lab.views.blocks import View
from screens.blocks.view_layout import Page

MOST_PREPARED = 10
"""Views that are kept: one for each key that leads to another place, and a few more."""


@dataclass(frozen=True)
class LayoutOptions:
    """All that a view's layout depends on beside the view itself and the styles."""

    room: int
    paints: bool
    panel: int


@dataclass(frozen=True)
class PreparedView:
    view: View
    options: LayoutOptions
    laid: Page
    strips: dict[tuple[int, int], Strip]
    """Some of its lines, by line and cells scrolled out at the left."""


class PreparedViews:
    """The views prepared last. Each is handed out once: what is shown of it changes with the cursor."""

    def __init__(self) -> None:
        self._prepared: OrderedDict[int, PreparedView] = OrderedDict()
        """By identity, which nothing else has while the view is held here."""

    def has(self, view: View, options: LayoutOptions) -> bool:
        """True if exactly this view was prepared for that."""
        found = self._prepared.get(id(view))
        return found is not None and found.options == options

    def put(self, prepared: PreparedView) -> None:
        self._prepared[id(prepared.view)] = prepared
        self._prepared.move_to_end(id(prepared.view))
        while len(self._prepared) > MOST_PREPARED:
            self._prepared.popitem(last=False)

    def take(self, view: View, options: LayoutOptions) -> PreparedView | None:
        """Hand out what was prepared of exactly this view, if that was for the same layout."""
        return self._prepared.pop(id(view)) if self.has(view, options) else None
