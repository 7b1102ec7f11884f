"""The legend of a plot, in as many words as fit on its line."""

from collections.abc import Sequence

from lab.core.visible_text import visible
from screens.plot.drawing import Drawn
from screens.plot.figure import EVENT_SIGNS, LEGEND_SIGNS, Figure, Series, dashes_of
from screens.plot.gap_area import GLYPH, SHADED
from screens.widgets.text_fitting import Piece

EVENT_ORDER = "✗↶½◂≈★‖■▸▴"
"""Event signs in the order in which they get a word in the legend."""

DASHED_SAMPLE = "⠤ ◆"
"""Sample of a marked line with dashes."""

SHORT_SAMPLE = 2
"""Characters of a line's sample where there is little room."""


def legend(figure: Figure, drawn: Drawn, width: int, *, paints: bool = True) -> list[Piece]:
    """The legend, shortened step by step until it fits: short labels, no levels named on their lines, few event signs.

    The scale of y is always in it.
    """
    shown = [series for series in figure.series if series.in_legend]
    needed = [series for series in shown if series.kind != "level" or series.short not in drawn.named]
    signs: list[list[Piece]] = [
        [(EVENT_SIGNS[kind][0], "event"), (f" {EVENT_SIGNS[kind][1]}  ", "axis")] for kind in drawn.events
    ]
    events = [piece for sign in signs for piece in sign]
    scale: list[Piece] = [(figure.scale_words, "axis")] if figure.scale_words else []
    lines = [series for series in needed if series.kind not in ("dots", "level")]
    # What is in it, long names, the long name of the area, short samples, events.
    variants: tuple[tuple[Sequence[Series], bool, bool, bool, list[Piece]], ...] = (
        (shown, True, True, False, events),
        (needed, True, True, False, events),
        (needed, True, False, False, events),
        (needed, True, False, False, []),
        (needed, False, False, False, events),
        (needed, False, False, False, []),
        (needed, False, False, True, []),
        (lines, False, False, True, []),
    )
    for which, long, long_area, brief, more in variants:
        pieces = [piece for series in which for piece in _entry(series, series.name if long else series.short, brief, paints)]
        if figure.area is not None and drawn.has_area:
            sample = ("  ", "axis" + SHADED) if paints else (GLYPH * 2, "area")
            pieces += [sample, (f" {figure.area.name if long_area else figure.area.short}  ", "axis")]
        pieces += more
        if _length(pieces + scale) <= width:
            break
    if not more:
        for sign in sorted(signs, key=lambda sign: EVENT_ORDER.index(sign[0][0])):
            if _length(pieces + sign + scale) <= width:
                pieces += sign
    return pieces + scale


def _length(pieces: Sequence[Piece]) -> int:
    return sum(len(text) for text, _ in pieces)


def _entry(series: Series, name: str, brief: bool, paints: bool) -> list[Piece]:
    sample = series.sign or LEGEND_SIGNS[series.kind]
    if dashes_of(series, paints) != series.dashes:
        sample = DASHED_SAMPLE
    elif brief:
        sample = sample[:SHORT_SAMPLE]
    if series.dashes:
        on, off = series.dashes
        sample = (("⠤" * on + " " * off) * 3)[: max(3, on + off + 1)].rstrip()
    return [(f"{sample} ", series.role), (f"{visible(name)}  ", "axis")]
