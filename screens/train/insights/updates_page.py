"""The page of the updates: size of each part's update over its weights, and its gradient norm."""

from __future__ import annotations

import math

from lab.core.number_format import significant
from lab.reports.update_ratios import HEALTHY, power, updates_in_words
from lab.runs.insights_log import InsightHistory, InsightPoint
from models.config import OptimizerName
from screens.blocks.bars_and_shades import bar
from screens.train.insights.page_lines import LABEL, Lines, evaluation_label, marked_at, over_time, words_lines
from screens.widgets.text_fitting import Piece, fit

RATIO_SIGNS = ((HEALTHY / 10, "·"), (HEALTHY / 3, "░"), (HEALTHY * 3, "▒"), (HEALTHY * 10, "▓"), (math.inf, "█"))
"""Upper limit of the ratio for each sign; the middle one is healthy."""


def ratio_sign(ratio: float | None) -> str:
    """An update ratio as one sign of `RATIO_SIGNS`."""
    return " " if ratio is None else next(sign for limit, sign in RATIO_SIGNS if ratio < limit)


def updates_lines(insights: InsightHistory, at: int, width: int, optimizer: OptimizerName) -> tuple[Lines, Lines]:
    """The lines above, and a line per part: update ratio now and over the evaluations, gradient norm."""
    point = insights.points[at]
    above = words_lines(updates_in_words(point.step, point.parts, optimizer), width)
    above.append([(evaluation_label(insights, at), "title")])
    if not point.parts:
        return above, []
    bar_room = max(6, min(16, width // 6))
    strip = width - LABEL - 11 - bar_room - 10
    legend = "· <1e-4  ░ <3e-4  ▒ healthy  ▓ >3e-3  █ >1e-2" if strip >= 44 else "▒ healthy  ▓█ more  ░· less"
    above.append(
        [
            (fit("part", LABEL) + " ", "dim"),
            (fit("update/weight", 15), "title"),
            (fit(legend, strip - 4), "dim"),
            (" gradient norm", "title"),
        ]
    )
    total = math.sqrt(sum(part.grad_norm**2 for part in point.parts))
    rows: Lines = []
    for place, part in enumerate(point.parts):

        def sign(each: InsightPoint, place: int = place) -> str:
            return ratio_sign(each.parts[place].ratio) if each.parts else " "

        row: list[Piece] = [(fit(part.part, LABEL) + " ", "text")]
        row.append((("·" if part.ratio is None else power(part.ratio)).rjust(8) + "  ", "text"))
        row += over_time(insights, marked_at(insights, at), strip, sign, "history")
        row.append((f" {significant(part.grad_norm, 3)}".rjust(9) + " ", "text"))
        row.append((fit(bar(part.grad_norm / total if total else 0.0, bar_room), bar_room), "bar"))
        rows.append(row)
    return above, rows
