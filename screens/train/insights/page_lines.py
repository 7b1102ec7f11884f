"""Lines of a page of insights: sentences, one sign per evaluation; and the page on the updates of each part of the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich.cells import cell_len
from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.analysis.insight_sentences import USUAL, updates_sentence
from lab.core.number_format import scientific, significant, whole
from lab.core.visible_text import visible
from lab.runs.run_history import InsightHistory, InsightPoint
from models.config import OptimizerName
from screens.blocks.block_layout import EIGHTHS_UP, POSITIVE_SHADES, bar
from screens.colour import ColouredPiece, Heat, heat, legend_bar, palette_of
from screens.widgets.text_fitting import Piece, cut, fit, wrap

Lines = list[Sequence[ColouredPiece]]

LABEL = 12
MOST_CELLS = 3
"""Character cells of one evaluation, where there are few."""


def words_lines(text: str, width: int) -> Lines:
    return [[(line, "text")] for line in wrap(text, width)]


def evaluation_label(insights: InsightHistory, at: int) -> str:
    """`step 1,200   13/31 ←/→`"""
    return f"step {whole(insights.points[at].step)}   {at + 1}/{len(insights.points)} ←/→"


def groups(insights: InsightHistory, width: int, most: int = MOST_CELLS) -> tuple[list[int], int, int]:
    """The evaluations in so many cells: the last of each group, the size of a group, and the cells of one, at most so many."""
    number = len(insights.points)
    each = max(1, math.ceil(number / max(1, width)))
    return [min(number, start + each) - 1 for start in range(0, number, each)], each, max(1, min(most, width // number))


def step_axis(insights: InsightHistory, width: int, mark: str = "", at: int = 0) -> str:
    """The axis of a strip of so many cells: the first and the last step at its ends as far as there is room, and a mark."""
    number, last = (whole(insights.points[place].step) for place in (0, -1))
    first = f"step {number}"
    if cell_len(first) + 1 + len(last) > width - len(mark):
        first = number
    row = list(" " * width)
    kept = range(at, at + len(mark))
    for start, label in ((width - len(last), last), (0, first)):
        span = range(start - 1, start + len(label) + 1)
        if start >= 0 and not set(span) & set(kept) and all(row[place] == " " for place in span if 0 <= place < width):
            row[start : start + len(label)] = label
    row[at : at + len(mark)] = mark
    return "".join(row)


def over_time(
    insights: InsightHistory, marked: int | None, width: int, sign: Callable[[InsightPoint], str], role: str
) -> list[Piece]:
    """One sign per evaluation, or per group if they do not fit; the marked one stands out."""
    ends, each, wide = groups(insights, width)
    signs = [sign(insights.points[end]) * wide for end in ends]
    here = len(signs) if marked is None else marked // each
    pieces = [("".join(signs[:here]), role), ("".join(signs[here : here + 1]), "here"), ("".join(signs[here + 1 :]), role)]
    return [*pieces, (" " * (width - wide * len(signs)), role)]


def marked_at(insights: InsightHistory, at: int) -> int | None:
    return at if at < len(insights.points) - 1 else None


def height_sign(value: float) -> str:
    return EIGHTHS_UP[max(0, min(8, round(value * 8)))] if value >= 1 / 16 else "▁"


def shade_sign(value: float) -> str:
    """A fraction as a shade; blank below 0.02."""
    return " " if value < 0.02 else POSITIVE_SHADES[min(3, int(value * 4))]


class PageLines(Widget):
    """A widget that draws lines of pieces."""

    ROLES = ("text", "title", "dim", "bar", "strong", "history", "cursor", "here", "lit")
    COMPONENT_CLASSES = {f"page-lines--{role}" for role in ROLES}
    DEFAULT_CSS = """
    PageLines {
        height: 1fr;
        & > .page-lines--text { color: $foreground; }
        & > .page-lines--title { text-style: bold; }
        & > .page-lines--dim { color: $text-muted; }
        & > .page-lines--bar { color: $primary; }
        & > .page-lines--strong { color: $warning; text-style: bold; }
        & > .page-lines--history { color: $foreground 70%; }
        & > .page-lines--cursor { text-style: bold reverse; }
        & > .page-lines--lit { text-style: bold reverse; }
        & > .page-lines--here { background: $primary 40%; color: $foreground; text-style: bold underline; }
    }
    """
    lines: reactive[tuple[Sequence[ColouredPiece], ...]] = reactive(())

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        pieces = cut(self.lines[y], width) if y < len(self.lines) else []
        palette, segments = palette_of(self), []
        for text, kind in pieces:
            style = palette.style(kind) if isinstance(kind, Heat) else self.get_component_rich_style(f"page-lines--{kind}")
            segments.append(Segment(visible(text), style))
        return Strip(segments).adjust_cell_length(width, self.rich_style)


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
    low, middle, high = (scientific(usual * factor).replace(".0", "") for factor in (1 / COLOUR_ENDS, 1.0, COLOUR_ENDS))
    if paints:
        for above in (f"from {high}, middle: usual ({middle})", f"from {high}"):
            bar = legend_bar("diverging", f"to {low}", above, LEGEND_WIDTH)
            used = sum(cell_len(text) for text, _ in bar)
            if used <= width:
                break
        return [*bar, (" " * max(0, width - used), "dim")]
    third, thrice = (scientific(usual * factor).replace(".0", "") for factor in (1 / 3, 3.0))
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
        row.append((("·" if part.ratio is None else scientific(part.ratio)).rjust(8) + "  ", "text"))
        row += ratios_over_time(insights, at, place, strip, usual, paints=paints)
        row.append((f" {significant(part.grad_norm, 3)}".rjust(9) + " ", "text"))
        row.append((fit(bar(part.grad_norm / total if total else 0.0, bar_room), bar_room), "bar"))
        rows.append(row)
    ends, _, wide = groups(insights, strip)
    rows.append([(" " * (LABEL + 11), "dim"), (step_axis(insights, wide * len(ends)), "dim"), (" steps", "dim")])
    return above, rows
