"""The page of the probe: what the model expects at a fixed position of the validation text, and where one head attends."""

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


def probe_lines(inside: InsightHistory, at: int, head: tuple[int, int], width: int, height: int) -> Lines:
    """Next-token probabilities at the probe, and one head's attention there: now, and over the evaluations."""
    moment = inside.points[at]
    if not inside.probe or not moment.top:
        return words_lines("At this evaluation the model's outputs were NaN/inf.", width)
    best, share = moment.top[0]
    words = (
        f"A fixed position in the validation text. The next token is {quoted(inside.truth)}: the model gives it "
        f"{probability(moment.truth_probability)}, and ranks {quoted(best)} highest ({probability(share)})."
    )
    if any(pair == (inside.probe[-1], inside.truth) for pair in pairwise(inside.probe)):
        words += f" {quoted(inside.probe[-1])} was followed by {quoted(inside.truth)} before: an induction head attends there."
    above = words_lines(words, width)
    room = max(FEWEST_NEXT, min(MOST_NEXT, height - len(above) - 2 - len(inside.probe)))
    tokens = [token for token, _ in moment.top if token != inside.truth][: room - 1]
    bar_room = min(20, max(6, (width - LABEL - 8) // 3))
    strip = width - LABEL - bar_room - 9

    def line(label: str, now: float | None, sign: Callable[[InsightPoint], str], role: str) -> list[Piece]:
        number = "·" if now is None else probability(now)
        return [
            (fit(label, LABEL) + " ", role),
            (fit(bar(now or 0.0, bar_room), bar_room), "bar"),
            (number.rjust(6) + "  ", role),
            *over_time(inside, marked_at(inside, at), strip, sign, "course"),
        ]

    lines = [*above, [("next token", "title"), ("   " + evaluation_label(inside, at), "dim")]]
    lines.append(line("▸" + inside.truth, moment.truth_probability, lambda each: shade_sign(each.truth_probability), "strong"))

    def share_of(token: str) -> Callable[[InsightPoint], str]:
        return lambda each: shade_sign(dict(each.top).get(token))

    lines += [line(" " + token, dict(moment.top)[token], share_of(token), "text") for token in tokens]
    layer, number = head
    last = quoted(inside.probe[-1])
    title = f"attention of head {head_name(layer, number)} from {last}"
    lines.append([(title, "title"), ("   ↑/↓ head", "dim")])
    for place, token in enumerate(inside.probe):

        def sign(each: InsightPoint, place: int = place) -> str:
            return shade_sign(float(each.pattern[layer, number, place]) if each.pattern.size else None)

        lines.append(line(" " + token, float(moment.pattern[layer, number, place]), sign, "text"))
    return lines


def quoted(token: str) -> str:
    return f"“{token}”"
