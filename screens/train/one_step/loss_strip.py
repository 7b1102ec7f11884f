"""Loss strip: a window's tokens side by side, beneath each its loss, −ln of its predicted probability."""

import math

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from lab.core.number_format import fixed
from lab.views.blocks import Token
from screens.colour.heat import heat
from screens.colour.palette import palette_of
from screens.widgets.text_fitting import fit
from screens.widgets.token_strip import CLASSES, LONGEST_LABEL, Box, TokenStrip

FIRST = "loss"
"""Beneath the first token, which nothing predicts: the name of the row."""


def loss_of(token: Token) -> str:
    """The token's loss as it stands beneath it; two figures are enough to compare."""
    if token.probability is None:
        return FIRST
    return (
        "∞" if token.probability == 0.0 else fixed(-math.log(token.probability), 1 if token.probability < math.exp(-9.95) else 2)
    )


class LossStrip(TokenStrip):
    """As Inspect's strip, but the numbers are losses, and the paper of each label is its loss, from 0 to the window's highest.

    Where there are too few colours for that, the ink of both follows it, from sure to surprised.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._highest = 1.0

    def watch_tokens(self) -> None:
        given = [token.probability for token in self.tokens if token.probability]
        self._highest = max((-math.log(p) for p in given), default=0.0) or 1.0
        self._boxes = []
        at = 0
        for token in self.tokens:
            width = max(min(cell_len(token.label), LONGEST_LABEL), len(loss_of(token)))
            self._boxes.append(Box(at, width))
            at += width + 1

    def watch_written(self) -> None:
        self.watch_tokens()

    def _label_segments(self, room: int) -> list[Segment]:
        bar = Segment("│", self.get_component_rich_style("tokens--bar"))
        first, end = self._in_sight(room)
        segments = [Segment(" " * self._boxes[first].start)] if first < end else []
        for index in range(first, end):
            segments += [Segment(fit(self.tokens[index].label, self._boxes[index].width), self._style(index)), bar]
        return segments

    def _id_segments(self, room: int) -> list[Segment]:
        first, end = self._in_sight(room)
        segments = [Segment(" " * self._boxes[first].start)] if first < end else []
        for index in range(first, end):
            token, box = self.tokens[index], self._boxes[index]
            name = None if palette_of(self).paints else self._class(index)
            style = self.get_component_rich_style(f"tokens--{name}" if name else "tokens--id")
            segments.append(Segment(fit(loss_of(token), box.width + 1), style))
        return segments

    def _style(self, index: int) -> Style:
        """The label's paper is its loss, from 0 to the highest of the window."""
        palette, token = palette_of(self), self.tokens[index]
        if index == self.chosen or token.probability is None or not palette.paints:
            return super()._style(index)
        loss = float("inf") if token.probability == 0.0 else -math.log(token.probability)
        return palette.style(heat("sequential", min(1.0, loss / self._highest)))

    def _class(self, index: int) -> str | None:
        p = self.tokens[index].probability
        return None if p is None else next(name for least, name in CLASSES if p >= least)
