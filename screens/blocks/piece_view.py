"""The base class of views drawn in the pieces of blocks: their kinds and styles."""

from screens.widgets.piece_lines import PieceView

KINDS = (
    *("title", "head", "dim", "strong", "selected", "mark", "masked", "struck"),
    *("bar", "positive", "negative", "note", "wrong", "cursor"),
)
"""Kinds of pieces, each a component class; heats are the others."""


class BlockPieceView(PieceView):
    """Lines of the kinds of pieces that blocks are laid out in."""

    PREFIX = "block--"
    COMPONENT_CLASSES = {f"block--{kind}" for kind in KINDS}
    DEFAULT_CSS = """
    BlockPieceView {
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
