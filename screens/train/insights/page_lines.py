"""Lines of a page of insights: sentences, and one sign per evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.core.number_format import whole
from lab.core.visible_text import visible
from lab.runs.run_history import InsightHistory, InsightPoint
from screens.blocks.bars_and_shades import EIGHTHS_UP, POSITIVE_SHADES
from screens.colour import ColouredPiece, Heat, palette_of
from screens.widgets.text_fitting import Piece, fit, wrap

Lines = list[Sequence[ColouredPiece]]

LABEL = 12
MOST_CELLS = 3
"""Character cells of one evaluation, where there are few."""


def words_lines(text: str, width: int) -> Lines:
    return [[(line, "text")] for line in wrap(text, width)]


def evaluation_label(insights: InsightHistory, at: int) -> str:
    """`step 1,200   13/31 ←/→`"""
    return f"step {whole(insights.points[at].step)}   {at + 1}/{len(insights.points)} ←/→"


def groups(insights: InsightHistory, width: int) -> tuple[list[int], int, int]:
    """The evaluations in so many cells: the last of each group, the size of a group, and the cells of one."""
    number = len(insights.points)
    each = max(1, math.ceil(number / max(1, width)))
    return [min(number, start + each) - 1 for start in range(0, number, each)], each, max(1, min(MOST_CELLS, width // number))


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


def cut(row: Sequence[ColouredPiece], width: int) -> list[ColouredPiece]:
    made: list[ColouredPiece] = []
    for text, role in row:
        room = width - sum(cell_len(each) for each, _ in made)
        if room <= 0:
            break
        made.append((text if cell_len(text) <= room else fit(text, room), role))
    return made


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

    @dataclass
    class Clicked(Message):
        """A line was clicked on, at this character cell."""

        line: int
        x: int

    def on_click(self, event: events.Click) -> None:
        self.post_message(self.Clicked(event.y, event.x))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        pieces = cut(self.lines[y], width) if y < len(self.lines) else []
        palette, segments = palette_of(self), []
        for text, kind in pieces:
            style = palette.style(kind) if isinstance(kind, Heat) else self.get_component_rich_style(f"page-lines--{kind}")
            segments.append(Segment(visible(text), style))
        return Strip(segments).adjust_cell_length(width, self.rich_style)
