"""The page of the head scores: previous token, duplicate token and induction, for every attention head, as a grid."""

from __future__ import annotations

import math

import numpy as np

from lab.analysis.insight_sentences import FORMED, head_name, scores_sentence, uniform_score
from lab.core.number_format import fixed, probability, whole
from lab.runs.run_history import InsightHistory, InsightPoint
from lab.runs.run_schema import HEAD_SCORES
from screens.blocks.block_layout import bar
from screens.colour import ColouredPiece, half_block_cells, heat, legend_bar, levels_of
from screens.train.insights.page_lines import (
    Lines,
    evaluation_label,
    groups,
    height_sign,
    marked_at,
    over_time,
    step_axis,
    words_lines,
)
from screens.widgets.text_fitting import Piece, fit, whole_sentences

LABEL_WIDTH = 5
GAP = 2
LINES_ABOVE = 3
"""The scale, the titles and the numbers of the heads, above the layers."""
CELL_WIDTHS = (5, 4, 3, 2, 1)
"""Widths of a head's cell, from one with a number and a mark to a bare colour."""
NARROWEST_NUMBER = 3
TITLES = dict(zip(HEAD_SCORES, ("previous token", "duplicate token", "induction"), strict=True))


def highest_shown(insights: InsightHistory) -> float:
    """The score at the end of the colour scale, which all evaluations and the three pictures share."""
    return min(1.0, math.ceil(10 * max(FORMED, *insights.highest)) / 10)


def grid_lines(insights: InsightHistory, at: int, chosen: tuple[int, int], width: int, room: int) -> Lines:
    """At most `room` lines: the scale, the grid of this evaluation with the chosen head's numbers, and all evaluations."""
    point = insights.points[at]
    _, layers, heads = point.scores.shape
    column, cell = _widths(width, heads)
    top = highest_shown(insights)
    scale = [(evaluation_label(insights, at), "title"), ("   score ", "dim"), *legend_bar("sequential", "0", f"{top:.1f}", 12)]
    lines: Lines = [[*scale, ("   ↑/↓ head   enter history", "dim")]]
    titles: list[ColouredPiece] = []
    for kind in HEAD_SCORES:
        name = TITLES[kind] if column >= 28 else kind
        titles.append((fit(f"{name}, uniform {fixed(uniform_score(kind, point.repeated), 2)}", column) + " " * GAP, "title"))
    lines.append(titles)
    numbers = "".join(fit(str(head + 1).center(cell), cell) for head in range(heads)) if cell > 1 else ""
    lines.append([(fit(fit("head", LABEL_WIDTH) + numbers, column) + " " * GAP, "dim") for _ in HEAD_SCORES])
    for layer in range(layers):
        row: list[ColouredPiece] = []
        for place in range(len(HEAD_SCORES)):
            row.append((fit(f"L{layer + 1}", LABEL_WIDTH - 1, "right") + " ", "dim"))
            for head in range(heads):
                value = float(point.scores[place, layer, head])
                here = (layer, head) == chosen
                role = "selected" if here else ""
                row.append((_cell(value, cell, here), heat("sequential", value / top, role=role)))
            row.append((" " * max(0, column + GAP - LABEL_WIDTH - cell * heads), "text"))
        lines.append(row)
    now = "   ".join(f"{TITLES[kind]} {float(point.of(kind)[chosen]):.2f}" for kind in HEAD_SCORES)
    lines.append([(f"▸{head_name(*chosen)}", "cursor"), (f"  {now}", "text")])
    return [*lines, *time_lines(insights, at, chosen, column, top, room - len(lines))]


def head_at(insights: InsightHistory, at: int, width: int, line: int, x: int) -> tuple[int, int] | None:
    """Layer and head of the cell of the grid at this line of `grid_lines` and character cell."""
    _, layers, heads = insights.points[at].scores.shape
    column, cell = _widths(width, heads)
    layer, within = line - LINES_ABOVE, x % (column + GAP) - LABEL_WIDTH
    is_cell = 0 <= layer < layers and 0 <= within < cell * heads and x < len(HEAD_SCORES) * (column + GAP)
    return (layer, within // cell) if is_cell else None


def _widths(width: int, heads: int) -> tuple[int, int]:
    column = width // len(HEAD_SCORES) - GAP
    return column, next((cell for cell in CELL_WIDTHS if cell * heads <= column - LABEL_WIDTH), 1)


def _cell(value: float, width: int, chosen: bool) -> str:
    """The number as far as there is room, apart from the one before: ` .41 `, ` .4`; the chosen head's is marked."""
    if width < NARROWEST_NUMBER:
        return "▸".ljust(width) if chosen else " " * width
    decimals = 2 if width > NARROWEST_NUMBER else 1
    written = f"{value:.{decimals}f}"
    number = ("1.0" if decimals == 2 else "1") if written.startswith("1") else written[1:]
    return fit(("▸" if chosen else " ") + number, width)


def time_lines(insights: InsightHistory, at: int, chosen: tuple[int, int], column: int, top: float, room: int) -> Lines:
    """Every head over the evaluations, two heads a line; nothing where that is too high."""
    points = insights.points
    _, layers, heads = points[at].scores.shape
    if len(points) < 2 or (layers * heads + 1) // 2 > room - 2:
        return []
    names = [head_name(layer, head) for layer in range(layers) for head in range(heads)]
    room_of_name = max(len(name) for name in names) + 1
    label_width = 2 * room_of_name + 1
    width = column - label_width
    if width < 1:
        return []
    ends, each, wide = groups(insights, width)
    unknown = np.full((len(HEAD_SCORES), layers, heads), np.nan, np.float32)
    scores = np.stack([points[end].scores if points[end].repeated else unknown for end in ends], -1)  # (3, L, H, evaluations)
    levels = levels_of(scores.reshape(len(HEAD_SCORES), layers * heads, -1) / top)
    marked = chosen[0] * heads + chosen[1]
    lines: Lines = [[(f"every head, two a line: upper and lower half; ▴ step {whole(points[at].step)}", "dim")]]
    for row in range(0, len(names), 2):
        pair = range(row, min(row + 2, len(names)))
        line: list[ColouredPiece] = []
        for place in range(len(HEAD_SCORES)):
            for number in pair:
                label = ("▸" if number == marked else " ") + names[number]
                line.append((fit(label, room_of_name), "cursor" if number == marked else "dim"))
            line.append((" " * (label_width - room_of_name * len(pair)), "dim"))
            below = levels[place, row + 1] if row + 1 < len(names) else None
            line += half_block_cells("sequential", levels[place, row], below, wide)
            line.append((" " * (column + GAP - label_width - wide * len(ends)), "text"))
        lines.append(line)
    axis = step_axis(insights, wide * len(ends), "▴", wide * (at // each) + wide // 2)
    lines.append([(fit(" " * label_width + axis, column + GAP), "strong") for _ in HEAD_SCORES])
    return lines


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
    names: list[Piece] = [(fit("head", 6), "dim")]
    for kind in HEAD_SCORES:
        level = fixed(uniform_score(kind, point.repeated), 2)
        words = f"{TITLES[kind]}, uniform {level}" if room >= 34 else f"{kind}, unif. {level}"
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
