"""The page of the head scores: previous token, duplicate token and induction, for every attention head."""

from __future__ import annotations

from lab.core.number_format import fixed, probability
from lab.reports.insights import FORMED, head_name, scores_sentence, uniform_score
from lab.runs.insights_log import InsightHistory, InsightPoint
from lab.runs.run_schema import HEAD_SCORES
from screens.blocks.bars_and_shades import bar
from screens.train.insights.page_lines import Lines, evaluation_label, height_sign, marked_at, over_time, words_lines
from screens.train.summary_text import whole_sentences
from screens.widgets.text_fitting import Piece, fit

FEWEST_WORDS = 3
"""Lines of sentences that there is always room for."""


def finding_lines(insights: InsightHistory, at: int, width: int, lines: int = FEWEST_WORDS) -> Lines:
    """The findings in at most so many lines: the strongest induction head, and the one that it builds on."""
    point = insights.points[at]
    words = scores_sentence(point.step, point.repeated, {kind: point.of(kind).tolist() for kind in HEAD_SCORES})
    return words_lines(whole_sentences(words, width, lines), width)


def heads_above(insights: InsightHistory, at: int, width: int, height: int, share: float) -> Lines:
    """The lines above the heads: findings, and the column titles. `share`: fraction of the training time spent measuring."""
    point = insights.points[at]
    above = finding_lines(insights, at, width, max(FEWEST_WORDS, height - point.scores[0].size - 2))
    if not point.repeated:
        return above
    room = (width - 6) // 3
    titles = dict(zip(HEAD_SCORES, ("previous token", "duplicate token", "induction"), strict=True))
    names: list[Piece] = [(fit("head", 6), "dim")]
    for kind in HEAD_SCORES:
        level = fixed(uniform_score(kind, point.repeated), 2)
        words = f"{titles[kind]}, uniform {level}" if room >= 34 else f"{kind}, unif. {level}"
        names.append((fit(words, room - 1) + " ", "title"))
    top = max(FORMED, *insights.highest)
    hint = f"  bars to 1, history to {fixed(top, 2)}  ↑/↓ head  enter history"
    hint += f"  measuring took {probability(share)} of the time" if width >= 112 else ""
    return [*above, [(evaluation_label(insights, at), "title"), (hint, "dim")], names]


def head_line(insights: InsightHistory, at: int, head: tuple[int, int], chosen: bool, width: int) -> list[Piece]:
    """One head's three scores: now, as a bar and a number, and over the evaluations, scaled to the highest of all heads."""
    layer, number = head
    room = (width - 6) // 3
    bar_room = max(4, (room - 7) // 2)
    row: list[Piece] = [(("▸" if chosen else " ") + head_name(layer, number).ljust(4), "cursor" if chosen else "text")]
    for place, highest in enumerate(insights.highest):
        value, scale = float(insights.points[at].scores[place, layer, number]), max(FORMED, highest)

        def sign(each: InsightPoint, place: int = place, scale: float = scale) -> str:
            return height_sign(float(each.scores[place, layer, number]) / scale) if each.repeated else " "

        row.append((fit(bar(value, bar_room), bar_room), "strong" if value >= FORMED else "bar"))
        row.append((f" {value:.2f} ", "strong" if value >= FORMED else "text"))
        row += over_time(insights, marked_at(insights, at), room - bar_room - 8, sign, "history")
        row.append(("  ", "text"))
    return row
