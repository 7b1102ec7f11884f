"""The page of the updates: size of each part's update over its weights, and its gradient norm."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len

from lab.analysis.insight_sentences import USUAL, power, updates_sentence
from lab.core.number_format import significant
from lab.runs.run_history import InsightHistory, InsightPoint
from models.config import OptimizerName
from screens.blocks.bars_and_shades import bar
from screens.colour import ColouredPiece, heat, legend_bar
from screens.train.insights.page_lines import LABEL, Lines, evaluation_label, groups, marked_at, over_time, step_axis, words_lines
from screens.widgets.text_fitting import fit

RATIO_SIGNS = ((1 / 10, "·"), (1 / 3, "░"), (3.0, "▒"), (10.0, "▓"), (math.inf, "█"))
"""Upper limit of the ratio over the usual one for each sign; the middle one is usual."""
COLOUR_ENDS = 10.0
"""Factor above and below the usual ratio at the ends of the colour scale."""
LEGEND_WIDTH = 11


def ratios_over_time(
    insights: InsightHistory, at: int, place: int, width: int, usual: float, *, paints: bool
) -> Sequence[ColouredPiece]:
    """A part's ratio at every evaluation, as a sign or as a colour: −1 a tenth of the usual one, 0 this, 1 ten times as much."""
    marked = marked_at(insights, at)

    def ratio(point: InsightPoint) -> float | None:
        return point.parts[place].ratio if point.parts else None

    def sign(point: InsightPoint) -> str:
        found = ratio(point)
        return " " if found is None else next(sign for limit, sign in RATIO_SIGNS if found / usual < limit)

    if not paints:
        return over_time(insights, marked, width, sign, "history")
    ends, each, wide = groups(insights, width)
    cells: list[ColouredPiece] = []
    for number, end in enumerate(ends):
        here, found = marked is not None and marked // each == number, ratio(insights.points[end])
        shade = heat("diverging", math.log(found / usual) / math.log(COLOUR_ENDS) if found else math.nan)
        cells.append((("▴" if here else " ").ljust(wide), shade))
    return [*cells, (" " * (width - wide * len(ends)), "history")]


def ratio_legend(usual: float, width: int, *, paints: bool) -> Sequence[ColouredPiece]:
    low, middle, high = (power(usual * factor).replace(".0", "") for factor in (1 / COLOUR_ENDS, 1.0, COLOUR_ENDS))
    if paints:
        for above in (f"from {high}, middle: usual ({middle})", f"from {high}"):
            bar = legend_bar("diverging", f"to {low}", above, LEGEND_WIDTH)
            used = sum(cell_len(text) for text, _ in bar)
            if used <= width:
                break
        return [*bar, (" " * max(0, width - used), "dim")]
    third, thrice = (power(usual * factor).replace(".0", "") for factor in (1 / 3, 3.0))
    words = f"· <{low}  ░ <{third}  ▒ usual  ▓ >{thrice}  █ >{high}"
    return [(fit(words if len(words) <= width else "▒ usual  ▓█ more  ░· less", width), "dim")]


def updates_lines(
    insights: InsightHistory, at: int, width: int, optimizer: OptimizerName, *, paints: bool
) -> tuple[Lines, Lines]:
    """The lines above, and a line per part: update ratio now and over the evaluations, gradient norm."""
    point = insights.points[at]
    above = words_lines(updates_sentence(point.step, point.parts, optimizer), width)
    above.append([(evaluation_label(insights, at), "title")])
    if not point.parts:
        return above, []
    bar_room = max(6, min(16, width // 6))
    strip = width - LABEL - 11 - bar_room - 10
    usual = USUAL[optimizer]
    above.append(
        [
            (fit("part", LABEL) + " ", "dim"),
            (fit("update/weight", 15), "title"),
            *ratio_legend(usual, strip - 4, paints=paints),
            (" gradient norm", "title"),
        ]
    )
    total = math.sqrt(sum(part.grad_norm**2 for part in point.parts))
    rows: Lines = []
    for place, part in enumerate(point.parts):
        row: list[ColouredPiece] = [(fit(part.part, LABEL) + " ", "text")]
        row.append((("·" if part.ratio is None else power(part.ratio)).rjust(8) + "  ", "text"))
        row += ratios_over_time(insights, at, place, strip, usual, paints=paints)
        row.append((f" {significant(part.grad_norm, 3)}".rjust(9) + " ", "text"))
        row.append((fit(bar(part.grad_norm / total if total else 0.0, bar_room), bar_room), "bar"))
        rows.append(row)
    ends, _, wide = groups(insights, strip)
    rows.append([(" " * (LABEL + 11), "dim"), (step_axis(insights, wide * len(ends)), "dim"), (" steps", "dim")])
    return above, rows
