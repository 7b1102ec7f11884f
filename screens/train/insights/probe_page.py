"""The page of the probe: what the model expects at a fixed position of the validation text, and where one head attends."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from lab.core.number_format import probability
from lab.reports.head_scores import head_name
from lab.runs.insights_log import InsightHistory, InsightPoint
from screens.blocks.bars_and_shades import bar
from screens.train.insights.page_lines import LABEL, Lines, marked_at, moment_words, over_time, shade_sign, words_lines
from screens.widgets.text_fitting import Piece, fit

MOST_NEXT = 6
FEWEST_NEXT = 3


def probe_lines(inside: InsightHistory, at: int, head: tuple[int, int], width: int, height: int) -> Lines:
    """What comes next at the probe, and what one head looks at there: now, and over the evaluations."""
    moment = inside.points[at]
    if not inside.probe or not moment.top:
        return words_lines("At this evaluation the model's numbers were no numbers, so that there is nothing to show.", width)
    best, share = moment.top[0]
    words = (
        f"A place in the validation text, the same at every evaluation. It goes on with {quoted(inside.truth)}, to which the "
        f"model gives {probability(moment.truth_probability)}; it expects {quoted(best)} most ({probability(share)})."
    )
    if any(pair == (inside.probe[-1], inside.truth) for pair in pairwise(inside.probe)):
        words += f" {quoted(inside.probe[-1])} stood there before, and {quoted(inside.truth)} came after it: "
        words += "an induction head looks there."
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

    lines = [*above, [("what comes next", "title"), ("   " + moment_words(inside, at), "dim")]]
    lines.append(line("▸" + inside.truth, moment.truth_probability, lambda each: shade_sign(each.truth_probability), "strong"))

    def share_of(token: str) -> Callable[[InsightPoint], str]:
        return lambda each: shade_sign(dict(each.top).get(token))

    lines += [line(" " + token, dict(moment.top)[token], share_of(token), "text") for token in tokens]
    layer, number = head
    last = quoted(inside.probe[-1])
    title = f"what head {head_name(layer, number)} looks at from {last}"
    lines.append([(title, "title"), ("   ↑ ↓ head", "dim")])
    for place, token in enumerate(inside.probe):

        def sign(each: InsightPoint, place: int = place) -> str:
            return shade_sign(float(each.pattern[layer, number, place]) if each.pattern.size else None)

        lines.append(line(" " + token, float(moment.pattern[layer, number, place]), sign, "text"))
    return lines


def quoted(token: str) -> str:
    return f"“{token}”"
