"""The page of the probe: next-token probabilities at a fixed position of the validation text, and one head's attention."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from lab.core.number_format import probability
from lab.reports.head_scores import head_name
from lab.runs.insights_log import InsightHistory, InsightPoint
from screens.blocks.bars_and_shades import bar
from screens.train.insights.page_lines import LABEL, Lines, evaluation_label, marked_at, over_time, shade_sign, words_lines
from screens.widgets.text_fitting import Piece, fit

MOST_NEXT = 6
FEWEST_NEXT = 3


def probe_lines(insights: InsightHistory, at: int, head: tuple[int, int], width: int, height: int) -> Lines:
    """Next-token probabilities at the probe, and one head's attention there: now, and over the evaluations."""
    point = insights.points[at]
    if not insights.probe or not point.top:
        return words_lines("At this evaluation the model's outputs were NaN/inf.", width)
    best, share = point.top[0]
    highest = "it highest" if best == insights.truth else f"{quoted(best)} highest ({probability(share)})"
    words = (
        f"A fixed position in the validation text. The next token is {quoted(insights.truth)}: the model gives it "
        f"{probability(point.truth_probability)}, and ranks {highest}."
    )
    if any(pair == (insights.probe[-1], insights.truth) for pair in pairwise(insights.probe)):
        words += (
            f" {quoted(insights.probe[-1])} was followed by {quoted(insights.truth)} before: an induction head attends there."
        )
    above = words_lines(words, width)
    room = max(FEWEST_NEXT, min(MOST_NEXT, height - len(above) - 2 - len(insights.probe)))
    tokens = [token for token, _ in point.top if token != insights.truth][: room - 1]
    bar_room = min(20, max(6, (width - LABEL - 8) // 3))
    strip = width - LABEL - bar_room - 9

    def line(label: str, now: float | None, sign: Callable[[InsightPoint], str], role: str) -> list[Piece]:
        number = "·" if now is None else probability(now)
        return [
            (fit(label, LABEL) + " ", role),
            (fit(bar(now or 0.0, bar_room), bar_room), "bar"),
            (number.rjust(6) + "  ", role),
            *over_time(insights, marked_at(insights, at), strip, sign, "history"),
        ]

    lines = [*above, [("next token", "title"), ("   " + evaluation_label(insights, at), "dim")]]
    lines.append(line("▸" + insights.truth, point.truth_probability, lambda each: shade_sign(each.truth_probability), "strong"))

    def share_of(token: str) -> Callable[[InsightPoint], str]:
        return lambda each: shade_sign(dict(each.top).get(token))

    lines += [line(" " + token, dict(point.top)[token], share_of(token), "text") for token in tokens]
    layer, number = head
    last = quoted(insights.probe[-1])
    title = f"attention of head {head_name(layer, number)} from {last}"
    lines.append([(title, "title"), ("   ↑/↓ head", "dim")])
    for place, token in enumerate(insights.probe):

        def sign(each: InsightPoint, place: int = place) -> str:
            return shade_sign(float(each.pattern[layer, number, place]) if each.pattern.size else None)

        lines.append(line(" " + token, float(point.pattern[layer, number, place]), sign, "text"))
    return lines


def quoted(token: str) -> str:
    return f"“{token}”"
