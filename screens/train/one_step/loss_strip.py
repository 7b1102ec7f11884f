"""Loss strip: a window's tokens side by side, beneath each its loss, −ln of its predicted probability."""

import math

from rich.cells import cell_len
from rich.segment import Segment

from lab.core.number_format import fixed
from lab.views.blocks import Token
from screens.widgets.text_fitting import fit
from screens.widgets.token_strip import CLASSES, LONGEST_LABEL, Box, TokenStrip

FIRST = "–"
"""Beneath the first token, which nothing predicts."""


def loss_of(token: Token) -> str:
    """The token's loss as it stands beneath it; two figures are enough to compare."""
    if token.probability is None:
        return FIRST
    return (
        "∞" if token.probability == 0.0 else fixed(-math.log(token.probability), 1 if token.probability < math.exp(-9.95) else 2)
    )


class LossStrip(TokenStrip):
    """As Inspect's strip, but the numbers are losses and the colours of labels follow them, from sure to surprised."""

    def watch_tokens(self) -> None:
        self._boxes = []
        at = 0
        for token in self.tokens:
            width = max(min(cell_len(token.label), LONGEST_LABEL), len(loss_of(token)))
            self._boxes.append(Box(at, width))
            at += width + 1

    def watch_written(self) -> None:
        self.watch_tokens()

    def _id_segments(self) -> list[Segment]:
        segments: list[Segment] = []
        for index, (token, box) in enumerate(zip(self.tokens, self._boxes, strict=True)):
            name = self._class(index)
            style = self.get_component_rich_style(f"tokens--{name}" if name else "tokens--id")
            segments.append(Segment(fit(loss_of(token), box.width + 1), style))
        return segments

    def _class(self, index: int) -> str | None:
        p = self.tokens[index].probability
        return None if p is None else next(name for least, name in CLASSES if p >= least)
