"""Styles of a view's pieces, each worked out once: a wide view has thousands of pieces of a few kinds."""

from rich.style import Style

from screens.colour.heat import Heat
from screens.colour.palette import palette_of
from screens.widgets.line_scroll_view import LineScrollView


class PieceStyles:
    """The styles of the kinds of pieces that a view is drawn with, until its widget's styles change."""

    def __init__(self, view: LineScrollView) -> None:
        """`view` has a component class `block--KIND` for each kind that is no heat."""
        self._view = view
        self._known: dict[str | Heat, Style] = {}

    def clear(self) -> None:
        """Forget all: the theme, or the widget's own style, has changed."""
        self._known.clear()

    def of(self, kind: str | Heat) -> Style:
        """The style of a kind of piece, or of a heat."""
        found = self._known.get(kind)
        if found is None:
            found = self._known[kind] = self._work_out(kind)
        return found

    def _work_out(self, kind: str | Heat) -> Style:
        palette, style_of = palette_of(self._view), self._view.style_of
        if isinstance(kind, Heat):
            return palette.style(kind) if palette.paints else style_of("block--bar") + palette.style(kind)
        return style_of("" if kind in ("", "cell") else f"block--{kind}") + palette.sign_style(kind)
