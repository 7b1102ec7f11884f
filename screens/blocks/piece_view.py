"""The base class of views drawn in pieces: the kinds of pieces and their styles."""

from rich.style import Style

from screens.colour import Heat, palette_of
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


KINDS = (
    "title",
    "head",
    "dim",
    "strong",
    "selected",
    "mark",
    "masked",
    "struck",
    "bar",
    "positive",
    "negative",
    "note",
    "wrong",
    "cursor",
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
        self._piece_styles = PieceStyles(self)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._piece_styles.clear()
