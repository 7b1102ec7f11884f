"""Layout of a table: column widths, bars, columns dropped on a narrow screen."""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from rich.cells import cell_len

from lab.views.blocks import Cell, Table
from screens.blocks.bars_and_shades import bar, signed_bar
from screens.blocks.block_layout import Laid, Line, Spot, heading
from screens.colour import LEAST_INK, LEAST_SIGNED_INK, MASKED_LEVEL, ColouredPiece, Heat, level_of
from screens.widgets.text_fitting import fit

BAR_WIDTHS = (4, 28)
"""Shortest and longest bar."""
SIGNED_BAR_WIDTHS = (9, 41)
"""Shortest and longest bar with an axis in the middle."""
GAPS = (2, 1)
"""Empty cells between two columns, and where it is narrow."""
LABEL_SHARE = 0.4
"""Fraction of the width for row labels before they are shortened."""


@dataclass
class LaidTable(Laid):
    table: Table
    shown: list[int]
    """Indices of the columns that are drawn, in order."""
    widths: list[int]
    bar_widths: list[int]
    """Width of the bar after each column's text; 0 where the column has none."""
    room: int
    """Width of the view in columns."""
    hidden: int = 0
    gap: int = GAPS[0]

    @cached_property
    def signed(self) -> frozenset[int]:
        """Indices of the columns whose bars grow to both sides of an axis."""
        return _signed(self.table)

    @cached_property
    def head(self) -> list[Line]:
        mark = f"… {self.hidden} more column{'s' if self.hidden > 1 else ''} on a wider screen" if self.hidden else ""
        lines = heading(self.table.title, mark, self.room)
        if any(column.title for column in self.table.columns):
            cells = [Cell(self.table.columns[index].title) for index in self.shown]
            lines.append(self._line(cells, "head", "  " if self.gutter else ""))
        return lines

    @property
    def plain_bars(self) -> dict[str, int]:
        """Widths of the bars without an axis by the title of their column."""
        titles = [self.table.columns[index].title for index in self.shown]
        signed = [index in self.signed for index in self.shown]
        return {title: bar for title, bar, axis in zip(titles, self.bar_widths, signed, strict=True) if bar and not axis}

    @property
    def gutter(self) -> int:
        return 2 if self.table.selected is not None else 0

    def _line(self, cells: list[Cell], kind: str, mark: str) -> Line:
        pinned: list[ColouredPiece] = [(mark, "mark")] if mark else []
        pieces: list[ColouredPiece] = []
        for place, (cell, width, bar_width) in enumerate(zip(cells, self.widths, self.bar_widths, strict=True)):
            column = self.table.columns[self.shown[place]]
            text = fit(cell.text, width, column.align)
            target = pinned if place == 0 else pieces
            target.append((text, kind or cell.style or "cell"))
            if bar_width:
                draw = signed_bar if self.shown[place] in self.signed else bar
                drawn = "" if cell.bar is None else draw(cell.bar, bar_width)
                target.append((" " + fit(drawn, bar_width), self._bar_kind(cell.bar, self.shown[place])))
            if place < len(cells) - 1:
                target.append((" " * self.gap, ""))
        return Line(tuple(pieces), tuple(pinned))

    def _bar_kind(self, fraction: float | None, column: int) -> str | Heat:
        """The colour of a bar: by its length, and of a column with an axis by its sign too."""
        if fraction is None:
            return "bar"
        level = level_of(fraction)
        if column in self.signed:
            return Heat("diverging", max(level, LEAST_SIGNED_INK) if level > 0 else min(level, -LEAST_SIGNED_INK), MASKED_LEVEL)
        return Heat("sequential", max(level, LEAST_INK), MASKED_LEVEL)

    def below(self, row: int) -> Line:
        if row < len(self.table.rows):
            chosen = row == self.table.selected
            mark = ("▸ " if chosen else "  ") if self.gutter else ""
            cells = self.table.rows[row]
            return self._line([cells[index] for index in self.shown], "selected" if chosen else "", mark)
        if row == len(self.table.rows):
            return Line((("─" * self.width, "dim"),))
        assert self.table.total is not None
        return self._line([self.table.total[index] for index in self.shown], "strong", "  " if self.gutter else "")

    def spot(self, row: int, column: int) -> Spot:
        is_total = row >= len(self.table.rows)
        cells = (self.table.total or []) if is_total else self.table.rows[row]
        start = self.gutter
        for place in range(column):
            start += self.widths[place] + (1 + self.bar_widths[place] if self.bar_widths[place] else 0) + self.gap
        cell = cells[self.shown[column]]
        title = self.table.columns[self.shown[column]].title
        label = cells[self.shown[0]].text.strip()
        words = " · ".join(word for word in (label if column else "", title) if word)
        line = len(self.head) + row + (1 if is_total else 0)
        return Spot(line, start, self.widths[column], words, cell.ref, cell.value, masked=cell.style == "masked", note=cell.note)

    def start(self) -> tuple[int, int]:
        row = self.table.selected or 0
        cells = self.table.rows[row] if self.table.rows else self.table.total or []
        numbers = [place for place, index in enumerate(self.shown) if cells[index].value is not None]
        return (row, numbers[-1] if numbers else 0)


def _signed(table: Table) -> frozenset[int]:
    columns = range(len(table.columns))
    return frozenset(index for index in columns if any((row[index].bar or 0) < 0 for row in table.rows))


def lay_table(table: Table, width: int, beside: Table | None = None, longest_bar: int = BAR_WIDTHS[1]) -> LaidTable:
    """Natural widths, of this table and one `beside` it, so that both show the same columns; if those are too wide, optional
    columns go (in their turn), then bars, then labels shrink, then it scrolls sideways.

    `longest_bar`: width of a full bar at most.
    """
    everything = [*table.rows, *([table.total] if table.total else [])]
    if beside is not None and [each.title for each in beside.columns] != [each.title for each in table.columns]:
        beside = None
    both = [*everything, *(beside.rows if beside else []), *([beside.total] if beside and beside.total else [])]

    def natural(index: int) -> int:
        return max([cell_len(table.columns[index].title), *(cell_len(row[index].text) for row in both)], default=0)

    widths = {index: natural(index) for index in range(len(table.columns))}
    has_bar = {index: any(row[index].bar is not None for row in both) for index in widths}
    signed = _signed(table)
    room = {index: SIGNED_BAR_WIDTHS if index in signed else (BAR_WIDTHS[0], longest_bar) for index in widths}
    gutter = 2 if table.selected is not None or (beside is not None and beside.selected is not None) else 0

    def needed(shown: list[int], gap: int = GAPS[0]) -> int:
        bars = sum(1 + room[index][0] for index in shown if has_bar[index])
        return gutter + sum(widths[index] for index in shown) + gap * (len(shown) - 1) + bars

    shown = list(widths)
    droppable = [index for index in reversed(shown) if table.columns[index].optional]
    for index in sorted(droppable, key=lambda index: table.columns[index].optional):
        if needed(shown) > width:
            shown.remove(index)
    if needed(shown) > width:
        has_bar = dict.fromkeys(widths, False)
    gap = GAPS[needed(shown) > width]
    over = needed(shown, gap) - width
    if shown and over > 0:
        shortest = max(6, int(width * LABEL_SHARE))
        widths[shown[0]] = max(min(widths[shown[0]], shortest), widths[shown[0]] - over)
    bars = [index for index in shown if has_bar[index]]
    spare = max(0, width - needed(shown)) // max(1, len(bars))
    laid = LaidTable(
        table=table,
        shown=shown,
        widths=[widths[index] for index in shown],
        bar_widths=[min(room[index][1], room[index][0] + spare) if has_bar[index] else 0 for index in shown],
        room=width,
        hidden=len(table.columns) - len(shown),
        gap=gap,
    )
    laid.rows, laid.columns = len(everything), len(shown)
    laid.width = gutter + sum(laid.widths) + gap * (len(shown) - 1) + sum(1 + each for each in laid.bar_widths if each)
    laid.pinned = (gutter + laid.widths[0] + (1 + laid.bar_widths[0] if laid.bar_widths[0] else 0) + gap) if shown else 0
    laid.height = len(laid.head) + len(table.rows) + (2 if table.total else 0)
    taken = (width + (1 + bar if bar else 0) + gap for width, bar in zip(laid.widths[1:], laid.bar_widths[1:], strict=True))
    laid.cuts = (0, *accumulate(taken))
    return laid
