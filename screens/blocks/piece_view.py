"""The base class of views drawn in pieces: their kinds and styles."""

from rich.style import Style

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
