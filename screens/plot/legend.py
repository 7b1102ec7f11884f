"""The legend of a plot, in as many words as fit on its line."""

from collections.abc import Sequence

from lab.core.visible_text import visible
from screens.plot.drawing import Drawn
from screens.plot.figure import EVENT_SIGNS, LEGEND_SIGNS, Series
from screens.widgets.text_fitting import Piece

EVENT_ORDER = "✗↶½◂★‖■▸▴"
"""Event signs in the order in which they get a word in the legend."""


def legend(shown: Sequence[Series], drawn: Drawn, width: int) -> list[Piece]:
    """The legend, shortened step by step until it fits: short labels, no levels named on their lines, few event signs."""
    needed = [series for series in shown if series.kind != "level" or series.short not in drawn.named]
    signs: list[list[Piece]] = [
        [(EVENT_SIGNS[kind][0], "event"), (f" {EVENT_SIGNS[kind][1]}  ", "axis")] for kind in drawn.events
    ]
    events = [piece for sign in signs for piece in sign]
    variants: tuple[tuple[Sequence[Series], bool, list[Piece]], ...] = (
        (shown, True, events),
        (needed, True, events),
        (shown, False, events),
        (needed, False, events),
        (needed, False, []),
    )
    for which, long, more in variants:
        pieces = [piece for series in which for piece in _legend_entry(series, series.name if long else series.short)] + more
        if sum(len(text) for text, _ in pieces) <= width:
            break
    if not more:
        for sign in sorted(signs, key=lambda sign: EVENT_ORDER.index(sign[0][0])):
            if sum(len(text) for text, _ in pieces + sign) <= width:
                pieces += sign
    return pieces


def _legend_entry(series: Series, name: str) -> list[Piece]:
    sample = series.sign or LEGEND_SIGNS[series.kind]
    if series.dashes:
        on, off = series.dashes
        sample = (("⠤" * on + " " * off) * 3)[: max(3, on + off + 1)].rstrip()
    return [(f"{sample} ", series.role), (f"{visible(name)}  ", "axis")]
