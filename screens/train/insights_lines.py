"""What was measured inside a run as lines of (text, role) pieces: head meters, the probe, what steps change. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from rich.cells import cell_len

from lab.core.number_format import fixed, probability, significant, whole
from lab.reports.head_scores import FORMED, head_name, uniform_score
from lab.reports.head_scores import scores_sentence as heads_in_words
from lab.reports.update_ratios import HEALTHY, power, updates_in_words
from lab.runs.insights_log import InsightHistory, InsightPoint
from lab.runs.run_schema import HEAD_SCORES
from models.config import OptimizerName
from screens.blocks.bars_and_shades import EIGHTHS_UP, POSITIVE_SHADES, bar
from screens.train.summary_text import whole_sentences
from screens.widgets.text_fitting import Piece, fit, wrap

Lines = list[list[Piece]]

LABEL = 12
"""Room for a token or a part's name."""
MOST_NEXT = 6
FEWEST_WORDS = 3
"""Lines of sentences that there is always room for."""
MOST_CELLS = 3
"""Character cells of one evaluation, where there are few."""
FEWEST_NEXT = 3

RATIO_SIGNS = ((HEALTHY / 10, "·"), (HEALTHY / 3, "░"), (HEALTHY * 3, "▒"), (HEALTHY * 10, "▓"), (math.inf, "█"))
"""Up to which ratio a sign stands; the middle one is healthy."""


def words_lines(text: str, width: int) -> Lines:
    """Sentences, wrapped."""
    return [[(line, "text")] for line in wrap(text, width)]


def moment_words(inside: InsightHistory, at: int) -> str:
    """`step 1,200 (13 of 31, ← → walks)`."""
    return f"step {whole(inside.points[at].step)} ({at + 1} of {len(inside.points)}, ← → walks)"


def over_time(
    inside: InsightHistory, marked: int | None, width: int, sign: Callable[[InsightPoint], str], role: str
) -> list[Piece]:
    """One sign for each evaluation, or for so many that they fit; that of the marked one stands out."""
    each = max(1, math.ceil(len(inside.points) / max(1, width)))
    wide = max(1, min(MOST_CELLS, width // len(inside.points)))
    ends = [min(len(inside.points), start + each) - 1 for start in range(0, len(inside.points), each)]
    signs = [sign(inside.points[end]) * wide for end in ends]
    here = len(signs) if marked is None else marked // each
    pieces = [("".join(signs[:here]), role), ("".join(signs[here : here + 1]), "here"), ("".join(signs[here + 1 :]), role)]
    return [*pieces, (" " * (width - wide * len(signs)), role)]


def marked_at(inside: InsightHistory, at: int) -> int | None:
    """The evaluation to mark: none where it is the newest, as it is until somebody walks."""
    return at if at < len(inside.points) - 1 else None


def height_sign(value: float) -> str:
    """A share from 0 to 1 as the height of a block."""
    return EIGHTHS_UP[max(0, min(8, round(value * 8)))] if value >= 1 / 16 else "▁"


def shade_sign(value: float | None) -> str:
    """A share from 0 to 1 as a shade; blank below a fiftieth, and where it is not known."""
    return " " if value is None or value < 0.02 else POSITIVE_SHADES[min(3, int(value * 4))]


def heads_above(inside: InsightHistory, at: int, width: int, height: int, share: float) -> Lines:
    """What stands above the heads: how far they have come, and what the columns are.

    `share` is that of the training time which all measuring has taken.
    """
    moment = inside.points[at]
    words = heads_in_words(moment.step, moment.repeated, {meter: moment.of(meter).tolist() for meter in HEAD_SCORES})
    above = words_lines(whole_sentences(words, width, max(FEWEST_WORDS, height - moment.scores[0].size - 2)), width)
    if not moment.repeated:
        return above
    room = (width - 6) // 3
    titles = dict(zip(HEAD_SCORES, ("looks one back", "at the same token", "at what came after it"), strict=True))
    names: list[Piece] = [(fit("head", 6), "dim")]
    for meter in HEAD_SCORES:
        level = fixed(uniform_score(meter, moment.repeated), 2)
        words = f"{titles[meter]}, chance {level}" if room >= 34 else f"{meter}, chance {level}"
        names.append((fit(words, room - 1) + " ", "title"))
    hint = "   ↑ ↓ head  ⏎ its course" + (f"   measuring took {probability(share)} of the time" if width >= 96 else "")
    return [*above, [(moment_words(inside, at), "title"), (hint, "dim")], names]


def head_line(inside: InsightHistory, at: int, head: tuple[int, int], chosen: bool, width: int) -> list[Piece]:
    """One head's three meters: now, as a bar and a number, and over the evaluations, to the scale of the highest of all heads."""
    layer, number = head
    room = (width - 6) // 3
    bar_room = max(4, (room - 7) // 2)
    row: list[Piece] = [(("▸" if chosen else " ") + head_name(layer, number).ljust(4), "cursor" if chosen else "text")]
    for place, highest in enumerate(inside.highest):
        value, scale = float(inside.points[at].scores[place, layer, number]), max(FORMED, highest)

        def sign(each: InsightPoint, place: int = place, scale: float = scale) -> str:
            return height_sign(float(each.scores[place, layer, number]) / scale) if each.repeated else " "

        row.append((fit(bar(value, bar_room), bar_room), "strong" if value >= FORMED else "bar"))
        row.append((f" {value:.2f} ", "strong" if value >= FORMED else "text"))
        row += over_time(inside, marked_at(inside, at), room - bar_room - 8, sign, "course")
        row.append(("  ", "text"))
    return row


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


def ratio_sign(ratio: float | None) -> str:
    """How large a part's change is, as one sign of `RATIO_SIGNS`."""
    return " " if ratio is None else next(sign for limit, sign in RATIO_SIGNS if ratio < limit)


def updates_lines(inside: InsightHistory, at: int, width: int, optimizer: OptimizerName) -> tuple[Lines, Lines]:
    """What stands above, and a line for each part: how much a step changes it, now and over the evaluations, and its gradient."""
    moment = inside.points[at]
    above = words_lines(updates_in_words(moment.step, moment.parts, optimizer), width)
    above.append([(moment_words(inside, at), "title")])
    if not moment.parts:
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
    total = math.sqrt(sum(part.grad_norm**2 for part in moment.parts))
    rows = []
    for place, part in enumerate(moment.parts):

        def sign(each: InsightPoint, place: int = place) -> str:
            return ratio_sign(each.parts[place].ratio) if each.parts else " "

        row: list[Piece] = [(fit(part.part, LABEL) + " ", "text")]
        row.append((("·" if part.ratio is None else power(part.ratio)).rjust(8) + "  ", "text"))
        row += over_time(inside, marked_at(inside, at), strip, sign, "course")
        row.append((f" {significant(part.grad_norm, 3)}".rjust(9) + " ", "text"))
        row.append((fit(bar(part.grad_norm / total if total else 0.0, bar_room), bar_room), "bar"))
        rows.append(row)
    return above, rows


def cut(row: Sequence[Piece], width: int) -> list[Piece]:
    """The pieces up to so many character cells."""
    made: list[Piece] = []
    for text, role in row:
        room = width - sum(cell_len(each) for each, _ in made)
        if room <= 0:
            break
        made.append((text if cell_len(text) <= room else fit(text, room), role))
    return made
